package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"re6st/hw/doctor"
	"re6st/hw/nodedir"
	"re6st/protocols/cert"
	"re6st/protocols/registry"
)

// checkupTimeout is how long the registry may take to answer an examination.
const checkupTimeout = 5 * time.Second

// Checkup examines the identity in a node's folder, and asks its registry. That the
// registry does not answer is a Note: the mesh goes on without it.
func Checkup(ctx context.Context, dir string, now func() time.Time) []doctor.Finding {
	f := doctor.Finding{
		Area: "identity", Name: "certificate", For: "every handshake", Grade: doctor.Lack,
		Cure: "re6st join with a line from `re6st registry token`",
	}
	d, err := nodedir.Open(dir)
	if err == nil {
		var m *Member
		if m, err = LoadMember(d, now()); err == nil {
			return []doctor.Finding{validity(f, m, now()), answers(ctx, m, now)}
		}
	}
	if errors.Is(err, cert.ErrExpired) || errors.Is(err, cert.ErrNotYetValid) {
		f.Cure = "set this machine's clock, if it is wrong; else join again"
	}
	f.Found = err.Error()
	return []doctor.Finding{f}
}

// validity is the finding on a certificate that is good now.
func validity(f doctor.Finding, m *Member, now time.Time) doctor.Finding {
	x := m.Identity.Certificate
	f.Grade, f.Cure = doctor.OK, ""
	f.Found = fmt.Sprintf("node %s, prefix %s, until %s", m.Identity.ID, m.Identity.Prefix.CN(), x.NotAfter.UTC().Format(time.DateOnly))
	if left := x.NotAfter.Sub(now); left < x.NotAfter.Sub(x.NotBefore)/6 {
		f.Grade, f.Cure = doctor.Note, "see to it that the node reaches a registry, which renews it"
		f.Found += fmt.Sprintf(", %d days left", left/(24*time.Hour))
	}
	return f
}

// answers asks the registry for its parameters.
func answers(ctx context.Context, m *Member, now func() time.Time) doctor.Finding {
	f := doctor.Finding{
		Area: "identity", Name: "registry", For: "new peers, parameters and certificates; what runs goes on without",
		Grade: doctor.Note, Cure: "see that it runs, and that TCP to " + m.Registry.String() + " passes",
	}
	ctx, cancel := context.WithTimeout(ctx, checkupTimeout)
	defer cancel()
	began := now()
	params, err := NewClient(m, nil, now).Params(ctx)
	switch {
	case errors.Is(err, registry.ErrClock):
		f.Grade, f.Cure = doctor.Lack, "set the clock of the machine that is wrong"
		f.Found = err.Error()
	case err != nil:
		f.Found = err.Error()
	default:
		f.Grade, f.Cure = doctor.OK, ""
		f.Found = fmt.Sprintf("%s answers in %d ms, parameters number %d", m.Registry, now().Sub(began).Milliseconds(), params.Number)
	}
	return f
}
