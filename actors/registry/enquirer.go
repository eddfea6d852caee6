package registry

import (
	"context"
	"net/netip"

	"re6st/actors/system"
)

// EnquirerConfig is what the actor that asks the registry works with.
type EnquirerConfig struct {
	Client  *Client
	Port    uint16 // UDP; 0: the node cannot be reached where the registry sees it
	TLSPort uint16 // 0: links by TLS are not served
	BootID  [8]byte
	// Emit gets Answered or Unanswered for each Ask that was not said while
	// another was under way.
	Emit func(EnquirerEvent)
}

// EnquirerMessage is what the actor takes.
//
//sumtype:decl
type EnquirerMessage interface{ enquirerMessage() }

// Ask tells the registry where this node is, and asks who else is there.
type Ask struct{ Endpoints []netip.AddrPort }

// replied is what the pump of a call reports.
type replied struct{ event EnquirerEvent }

func (Ask) enquirerMessage()     {}
func (replied) enquirerMessage() {}

// EnquirerEvent is what came of an Ask.
//
//sumtype:decl
type EnquirerEvent interface{ enquirerEvent() }

// Answered is the registry's answer.
type Answered struct{ *Bootstrap }

// Unanswered says why there was none. When to ask again is the asker's decision.
type Unanswered struct{ Err error }

func (Answered) enquirerEvent()   {}
func (Unanswered) enquirerEvent() {}

// SpawnEnquirer starts the actor of a node that talks to its registry. A node
// lives without it.
func SpawnEnquirer(parent system.Parent, cfg EnquirerConfig) (system.Ref[EnquirerMessage], error) {
	return system.Spawn(parent, "registry", system.Spec[EnquirerMessage]{
		Kind: "enquirer",
		New:  func() system.Handler[EnquirerMessage] { return &enquirer{cfg: cfg} },
	})
}

// enquirer has one call under way at most.
type enquirer struct {
	cfg    EnquirerConfig
	asking bool
}

// Start has nothing to open: each call has its own connection.
func (e *enquirer) Start(*system.Context[EnquirerMessage]) error { return nil }

// Handle begins a call, or passes on its end.
func (e *enquirer) Handle(ctx *system.Context[EnquirerMessage], m EnquirerMessage) error {
	switch m := m.(type) {
	case Ask:
		if e.asking {
			return nil
		}
		e.asking = true
		cfg := e.cfg
		ctx.Pump("call", func(stop context.Context, p *system.Pump[EnquirerMessage]) error {
			answer, err := cfg.Client.Bootstrap(stop, cfg.Port, cfg.TLSPort, m.Endpoints, cfg.BootID)
			if err != nil {
				_ = p.Deliver(replied{Unanswered{err}})
				return nil
			}
			_ = p.Deliver(replied{Answered{answer}})
			return nil
		})
	case replied:
		e.asking = false
		if failed, ok := m.event.(Unanswered); ok {
			ctx.Event("registry", failed.Err.Error())
		}
		e.cfg.Emit(m.event)
	}
	return nil
}

// Stop has nothing to close: the pump was joined.
func (e *enquirer) Stop(*system.Context[EnquirerMessage]) {}
