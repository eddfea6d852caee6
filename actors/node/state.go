package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"re6st/hw/nodedir"
	"re6st/protocols/addr"
	"re6st/protocols/babel"
	"re6st/protocols/registry"
	"re6st/protocols/tunnelplan"
)

const (
	babelFile    = "babel.state"
	peersFile    = "peers.json"
	stateVersion = 1
)

// babelState is the router's identity across restarts: without its sequence
// number a router id must not be used again (RFC 8966 section 3.7.1).
type babelState struct {
	dir      nodedir.Dir
	RouterID babel.RouterID
	seqno    atomic.Uint32

	writing sync.Mutex // guards failed, and that files are written in the order of their numbers
	failed  bool       // the newest number is not on the disk
}

type babelJSON struct {
	Version  int    `json:"version"`
	RouterID string `json:"router_id"`
	Seqno    uint16 `json:"seqno"`
}

// loadBabel reads the state; where it is lost or spoilt, there is a new router.
func loadBabel(dir nodedir.Dir) (*babelState, error) {
	s := &babelState{dir: dir}
	raw, err := dir.Read(babelFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var stored babelJSON
	if err == nil && json.Unmarshal(raw, &stored) == nil && stored.Version == stateVersion {
		if id, err := addr.ParseNodeID(stored.RouterID); err == nil && babel.RouterID(id).IsValid() {
			s.RouterID = babel.RouterID(id)
			s.seqno.Store(uint32(stored.Seqno))
			return s, nil
		}
	}
	for !s.RouterID.IsValid() {
		if _, err := rand.Read(s.RouterID[:]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Seqno is the sequence number to go on from.
func (s *babelState) Seqno() uint16 { return uint16(s.seqno.Load()) }

// Persist stores the sequence number up to which the router may go.
func (s *babelState) Persist(seqno uint16) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.seqno.Store(uint32(seqno))
	return s.write()
}

// Retry stores the number that the disk did not take.
func (s *babelState) Retry() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.failed {
		return nil
	}
	return s.write()
}

func (s *babelState) write() error {
	raw, err := json.Marshal(babelJSON{stateVersion, s.RouterID.String(), s.Seqno()})
	if err == nil {
		err = s.dir.Write(babelFile, append(raw, '\n'), nodedir.Public)
	}
	s.failed = err != nil
	return err
}

type peersJSON struct {
	Version int        `json:"version"`
	Peers   []peerJSON `json:"peers"`
}

type peerJSON struct {
	ID        addr.NodeID        `json:"id"`
	Prefix    addr.Bits          `json:"prefix"`
	Static    registry.StaticKey `json:"static"`
	Endpoints []netip.AddrPort   `json:"endpoints"`
	Seen      time.Time          `json:"seen"`
	Country   string             `json:"country,omitempty"` // or tunnelplan.NoCountry
	TLSPort   uint16             `json:"tls_port,omitempty"`
}

// Remembered are the peers that a node's folder has from its last run.
func Remembered(dir nodedir.Dir) ([]tunnelplan.Peer, error) { return loadPeers(dir) }

// loadPeers reads the peers of an earlier run. A spoilt file is none: the registry
// has others.
func loadPeers(dir nodedir.Dir) ([]tunnelplan.Peer, error) {
	raw, err := dir.Read(peersFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parsePeers(raw)
}

func parsePeers(raw []byte) ([]tunnelplan.Peer, error) {
	var stored peersJSON
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("%s: %w; it will be written anew", peersFile, err)
	}
	if stored.Version != stateVersion {
		return nil, fmt.Errorf("%s: version %d, want %d; it will be written anew", peersFile, stored.Version, stateVersion)
	}
	peers := make([]tunnelplan.Peer, 0, min(len(stored.Peers), tunnelplan.MaxRemembered))
	for _, p := range stored.Peers[:min(len(stored.Peers), tunnelplan.MaxRemembered)] {
		if p.ID.IsZero() {
			continue // a node without an id cannot be told from another
		}
		peers = append(peers, tunnelplan.Peer{ID: p.ID, Prefix: p.Prefix, Static: p.Static, Endpoints: p.Endpoints, Seen: p.Seen, Country: p.Country, TLSPort: p.TLSPort})
	}
	return peers, nil
}

func storePeers(dir nodedir.Dir, peers []tunnelplan.Peer) error {
	stored := peersJSON{Version: stateVersion, Peers: make([]peerJSON, len(peers))}
	for i, p := range peers {
		stored.Peers[i] = peerJSON{p.ID, p.Prefix, p.Static, p.Endpoints, p.Seen.UTC(), p.Country, p.TLSPort}
	}
	raw, err := json.MarshalIndent(stored, "", " ")
	if err != nil {
		return err
	}
	return dir.Keep(peersFile, append(raw, '\n'), nodedir.Private)
}
