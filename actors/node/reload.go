package node

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"re6st/actors/monitor"
	"re6st/actors/neighbor"
	"re6st/actors/system"
	"re6st/actors/tunnel"
	wire "re6st/protocols/registry"
)

// ErrNoReload is a node that was started without a configuration to read again.
var ErrNoReload = errors.New("this node has no configuration to read again")

// live are the keys of Config that a running node takes; the others take a restart.
var live = map[string]bool{
	"log": true, "client_count": true, "max_clients": true, "inbound": true, "inbound_list": true, "trusted": true, "babel_interface": true,
	"origins": true, "neighbours": true, "shortcuts": true, "shortcut_kbit": true, "shortcut_idle": true,
	"tunnels": true, "tunnel_peer": true, "trusted_underlay": true, "remote_gateways": true,
}

// reconfigured says that the configuration in force has other limits.
type reconfigured struct{}

func (reconfigured) rootMessage() {}

// settings are the configuration in force: that of the start, with what was reloaded
// since.
type settings struct {
	mu     sync.Mutex
	config Config
	read   func() (Config, error)
	level  *slog.LevelVar // nil: the log has one level for good
}

func (s *settings) get() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// reload reads the configuration again and takes what a running node can take. Where
// it is bad nothing changes.
func (s *settings) reload() ([]monitor.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read == nil {
		return nil, ErrNoReload
	}
	next, err := s.read()
	if err != nil {
		return nil, err
	}
	changes := changed(s.config, next)
	s.config.Log, s.config.ClientCount, s.config.MaxClients = next.Log, next.ClientCount, next.MaxClients
	s.config.Neighbours = next.Neighbours
	s.config.Shortcuts, s.config.ShortcutRate, s.config.ShortcutIdle = next.Shortcuts, next.ShortcutRate, next.ShortcutIdle
	s.config.Inbound, s.config.InboundList, s.config.Origins = next.Inbound, next.InboundList, next.Origins
	s.config.Trusted, s.config.BabelInterfaces = next.Trusted, next.BabelInterfaces
	s.config.Tunnels, s.config.TunnelPeers, s.config.TrustedUnderlay = next.Tunnels, next.TunnelPeers, next.TrustedUnderlay
	s.config.RemoteGateways = next.RemoteGateways
	if s.level != nil {
		s.level.Set(next.Log)
	}
	return changes, nil
}

// changed are the keys by which two configurations differ, in the order of Config.
func changed(old, next Config) []monitor.Change {
	var changes []monitor.Change
	a, b := reflect.ValueOf(old), reflect.ValueOf(next)
	for i := range a.NumField() {
		if reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("toml"), ",")
		changes = append(changes, monitor.Change{Key: key, Old: shown(a.Field(i)), New: shown(b.Field(i)), Applied: live[key]})
	}
	return changes
}

func shown(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if at, ok := v.Interface().(netip.AddrPort); ok && !at.IsValid() {
		return "" // none
	}
	if d, ok := v.Interface().(wire.Duration); ok {
		return time.Duration(d).String()
	}
	return fmt.Sprint(v.Interface())
}

// reload is the control socket's and the signal's; it runs on their goroutines.
func (r *root) reload() ([]monitor.Change, error) {
	changes, err := r.settings.reload()
	if err != nil {
		r.ctx.Event("reload", "refused, nothing has changed: "+err.Error())
		return nil, err
	}
	r.ctx.Self().Tell(reconfigured{})
	r.ctx.Event("reload", told(changes))
	return changes, nil
}

// told is what a reload did, for people.
func told(changes []monitor.Change) string {
	if len(changes) == 0 {
		return "nothing has changed"
	}
	var applied, waiting []string
	for _, c := range changes {
		if c.Applied {
			applied = append(applied, c.Key)
		} else {
			waiting = append(waiting, c.Key)
		}
	}
	var parts []string
	if len(applied) > 0 {
		parts = append(parts, "in force: "+strings.Join(applied, ", "))
	}
	if len(waiting) > 0 {
		parts = append(parts, "after a restart: "+strings.Join(waiting, ", "))
	}
	return strings.Join(parts, "; ")
}

// startReloads reads the configuration again at each signal.
func (r *root) startReloads() {
	signals := r.options.Reloads
	if signals == nil {
		return
	}
	r.ctx.Pump("reload", func(stop context.Context, p *system.Pump[message]) error {
		for {
			select {
			case <-stop.Done():
				return nil
			case <-signals:
				_ = p.Work("the configuration", func() error { _, err := r.reload(); return err }) // the event says what came of it
			}
		}
	}, system.WithTurn())
}

// reconfigured has the tunnels follow the limits in force, the packet path the
// inbound policy, and the router the interfaces that speak Babel, with their keys.
func (r *root) reconfigured() {
	if err := r.setInbound(); err != nil {
		r.ctx.Event("reload", err.Error()) // the configuration was checked: it has no such error
	}
	r.router.Tell(neighbor.SpeakersChanged{Speakers: r.settings.get().speakers()})
	if r.keeper != nil {
		r.keeper.Tell(readdress{}) // what lies behind this machine may be new
	}
	p := r.parameters.Load()
	r.origins.setParams(p.Params, r.settings.get().Origins)
	r.router.Tell(neighbor.OriginsChanged{})
	r.syncDirect()
	r.followGateways()
	r.tunnels.Tell(tunnel.TunnelsWanted{Wanted: r.settings.get().wantedTunnels()})
	r.tunnels.Tell(tunnel.ParamsChanged{Params: paramsDocument(p), Limits: r.limits(), Rules: r.peerRules(), Pace: pace(p.Params)})
}

// setInbound has the packet path follow the inbound policy in force; what is under way
// goes on.
func (n *parts) setInbound() error {
	c := n.settings.get()
	filter, err := n.filter.Change(c.Inbound, c.InboundList, maphash.MakeSeed())
	if err != nil {
		return err
	}
	n.filter = filter
	n.plane.SetInbound(filter)
	return nil
}
