// Package foreign sends one actor's message to another, which must not compile.
package foreign

import "re6st/actors/system"

type tunnelMessage interface{ isTunnelMessage() }

type routeMessage interface{ isRouteMessage() }

type routeLost struct{}

func (routeLost) isRouteMessage() {}

var _ routeMessage = routeLost{}

func send(tunnel system.Ref[tunnelMessage]) { tunnel.Tell(routeLost{}) }
