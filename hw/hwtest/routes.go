package hwtest

import (
	"slices"
	"sync"

	"re6st/hw/netlink"
)

// Routes is a netlink.Routes in memory. It may be used from any goroutine.
type Routes struct {
	mu     sync.Mutex
	routes []netlink.Route
	err    error
}

var _ netlink.Routes = (*Routes)(nil)

// Fail makes every call from now on fail with err and change nothing; nil ends that.
func (f *Routes) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// Held returns a copy of the routes, in the order in which they came.
func (f *Routes) Held() []netlink.Route {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.routes)
}

// Reconcile implements netlink.Routes.
func (f *Routes) Reconcile(desired []netlink.Route) (netlink.Changes, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return netlink.Changes{}, f.err
	}
	var c netlink.Changes
	before := f.routes
	f.routes = nil
	for _, r := range desired {
		f.put(r)
	}
	for _, r := range f.routes {
		switch i := slices.IndexFunc(before, func(b netlink.Route) bool { return samePlace(b, r) }); {
		case i < 0:
			c.Added++
		case before[i] == r:
			c.Kept++
		default:
			c.Replaced++
		}
	}
	c.Removed = len(before) - c.Kept - c.Replaced
	return c, nil
}

// Apply implements netlink.Routes.
func (f *Routes) Apply(set, remove []netlink.Route) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	for _, r := range set {
		f.put(r)
	}
	for _, r := range remove {
		f.routes = slices.DeleteFunc(f.routes, func(h netlink.Route) bool { return samePlace(h, r) })
	}
	return nil
}

// put adds r, or replaces what holds its place.
func (f *Routes) put(r netlink.Route) {
	if i := slices.IndexFunc(f.routes, func(h netlink.Route) bool { return samePlace(h, r) }); i >= 0 {
		f.routes[i] = r
		return
	}
	f.routes = append(f.routes, r)
}

// samePlace is how the kernel tells routes of one table apart.
func samePlace(a, b netlink.Route) bool {
	return a.Dst == b.Dst && a.Src == b.Src && a.Metric == b.Metric
}
