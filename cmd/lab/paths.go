package lab

import (
	"context"
	"fmt"
	"time"

	"re6st/protocols/addr"
)

// hops says for each node to which neighbor it sends what is for each other node.
type hops map[string]map[string]string

// path follows the next hops from one node to another; both are in it.
func (h hops) path(from, to string) ([]string, error) {
	path := []string{from}
	for at := from; at != to; path = append(path, at) {
		next, ok := h[at][to]
		if !ok {
			return nil, fmt.Errorf("lab: %s has no route to %s", at, to)
		}
		if len(path) > len(h) {
			return nil, fmt.Errorf("lab: the routes from %s to %s make a loop at %s", from, to, at)
		}
		at = next
	}
	return path, nil
}

// longestPath is the most links between any two of the nodes, in either direction.
func longestPath(h hops, names []string) (int, error) {
	longest := 0
	for _, p := range allPairs(names) {
		path, err := h.path(p.From, p.To)
		if err != nil {
			return 0, err
		}
		longest = max(longest, len(path)-1)
	}
	return longest, nil
}

// hops asks every node for its routes.
func (l *Lab) hops(ctx context.Context) (hops, error) {
	name := map[addr.NodeID]string{}
	for _, n := range l.snapshot() {
		name[n.who.id] = n.name
	}
	h := hops{}
	for _, from := range l.alive() {
		next, err := l.program.nextHops(ctx, l.members[from].dir)
		if err != nil {
			return nil, fmt.Errorf("lab: routes of %s: %w", from, err)
		}
		h[from] = map[string]string{}
		for to, via := range next {
			h[from][name[to]] = name[via]
		}
	}
	return h, nil
}

// pathPatience is how long to ask for paths while routes change, and nodes start.
const pathPatience = 10 * time.Second

// Path asks the nodes by which nodes packets go from one to another now.
func (l *Lab) Path(ctx context.Context, from, to string) (path []string, err error) {
	err = l.routed(ctx, func(h hops) (err error) { path, err = h.path(from, to); return })
	return path, err
}

// MaxLinks asks the nodes how many links the longest of all paths has now.
func (l *Lab) MaxLinks(ctx context.Context) (links int, err error) {
	err = l.routed(ctx, func(h hops) (err error) { links, err = longestPath(h, l.names); return })
	return links, err
}

// routed hands over the routes of all nodes. They answer one after the other: while
// routes change, what they say need not make paths, and one that has just been started does
// not answer yet. They are asked again.
func (l *Lab) routed(ctx context.Context, find func(hops) error) error {
	ctx, cancel := context.WithTimeout(ctx, pathPatience)
	defer cancel()
	for {
		h, err := l.hops(ctx)
		if err == nil {
			err = find(h)
		}
		if err == nil || sleep(ctx, askEvery) != nil {
			return err
		}
	}
}
