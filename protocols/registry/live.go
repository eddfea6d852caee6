package registry

// Change is a parameter whose value another version changes.
type Change struct {
	Key, Old, New string
	// Live tells that running nodes take it; the others take it when they restart.
	Live bool
}

// takesRestart are the keys that a running node does not take: its addresses and its
// TUN are made at the start.
var takesRestart = map[string]bool{"mtu": true, "classes": true}

// TakesRestart tells whether a running node takes a change of this key only when it
// restarts.
func TakesRestart(key string) bool { return takesRestart[key] }

// ChangesTo lists what differs in next, but for the number, in the order of the JSON.
func (p Params) ChangesTo(next Params) ([]Change, error) {
	old, err := p.Settings()
	if err != nil {
		return nil, err
	}
	settings, err := next.Settings()
	if err != nil {
		return nil, err
	}
	var changes []Change
	for i, s := range settings { // the keys are the same: both are of this program
		if s.Key != "number" && s.Value != old[i].Value {
			changes = append(changes, Change{s.Key, old[i].Value, s.Value, !TakesRestart(s.Key)})
		}
	}
	return changes, nil
}
