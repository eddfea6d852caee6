package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"re6st/actors/tunnel"
	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/fabric"
)

// workedFile has by what carriers peers were reached: what a restarted node begins with.
const workedFile = "carriers.json"

type workedJSON struct {
	Version int           `json:"version"`
	Worked  []carrierJSON `json:"worked"`
}

type carrierJSON struct {
	Peer    addr.NodeID  `json:"peer"`
	Network netip.Prefix `json:"network"` // of this node's uplink
	Carrier string       `json:"carrier"`
	At      time.Time    `json:"at"`
}

// loadWorked reads what an earlier run stored. Of a spoilt file nothing is taken.
func loadWorked(dir nodedir.Dir, now time.Time) ([]tunnel.Worked, error) {
	raw, err := dir.Read(workedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseWorked(raw, now)
}

func parseWorked(raw []byte, now time.Time) (all []tunnel.Worked, err error) {
	var stored workedJSON
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("%s: %w; it will be written anew", workedFile, err)
	}
	if stored.Version != stateVersion {
		return nil, fmt.Errorf("%s: version %d, want %d; it will be written anew", workedFile, stored.Version, stateVersion)
	}
	for _, w := range stored.Worked {
		by, err := fabric.ParseCarrier(w.Carrier)
		if err != nil || w.Peer.IsZero() || now.Sub(w.At) >= tunnel.WorkedLifetime {
			continue // of a newer node, it may be; or too old
		}
		if all = append(all, tunnel.Worked{Peer: w.Peer, Network: w.Network, Carrier: by, At: w.At}); len(all) == tunnel.MaxWorked {
			break
		}
	}
	return all, nil
}

func storeWorked(dir nodedir.Dir, all []tunnel.Worked) error {
	stored := workedJSON{Version: stateVersion, Worked: make([]carrierJSON, len(all))}
	for i, w := range all {
		stored.Worked[i] = carrierJSON{w.Peer, w.Network, w.Carrier.String(), w.At.UTC()}
	}
	raw, err := json.MarshalIndent(stored, "", " ")
	if err != nil {
		return err
	}
	return dir.Keep(workedFile, append(raw, '\n'), nodedir.Private)
}
