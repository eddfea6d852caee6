package node

import (
	"fmt"

	"re6st/protocols/names"
	"re6st/protocols/peer"
	"re6st/protocols/tunnelplan"
)

// country is two capital letters (ISO 3166-1), or none. It is a struct, as of text in a
// string the decoder does not ask whether it is good.
type country struct{ code string }

func (c country) String() string { return c.code }

// UnmarshalText refuses what is no country.
func (c *country) UnmarshalText(text []byte) error {
	if !peer.IsCountry(string(text)) {
		return fmt.Errorf("%q is no country; write two capital letters, such as FR", text)
	}
	c.code = string(text)
	return nil
}

// namesFile has the names of nodes, in the node's folder.
const namesFile = "hosts"

// rules are those in force for the peers; unknown are the neighbours that are neither
// prefixes nor ids nor names of the node's hosts.
func (n *parts) rules() (r tunnelplan.Rules, unknown []string) {
	c := n.settings.get()
	r = tunnelplan.Rules{Country: c.Country.code, SameCountry: n.parameters.Load().SameCountry}
	var table *names.Table // the nil one has none
	if raw, err := n.dir.Read(namesFile); err == nil {
		table, _ = names.Parse(string(raw)) // a spoilt one names nobody
	}
	for _, s := range c.Neighbours {
		node, ok := table.Node(s)
		if !ok {
			node, _ = names.ParseNode(s)
		}
		if node.ID.IsZero() && node.Prefix.Len() == 0 {
			unknown = append(unknown, s)
			continue
		}
		r.Neighbours = append(r.Neighbours, tunnelplan.Neighbour{ID: node.ID, Prefix: node.Prefix})
	}
	return r, unknown
}

// peerRules are the rules in force; neighbours that mean nobody are told of.
func (r *root) peerRules() tunnelplan.Rules {
	rules, unknown := r.rules()
	for _, s := range unknown {
		r.ctx.Event("neighbours", fmt.Sprintf("%q is neither a prefix such as 6/16 nor a node id nor a name of the file %s", s, r.dir.Path(namesFile)))
	}
	return rules
}
