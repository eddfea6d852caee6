package lab

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"re6st/actors/monitor"
	"re6st/protocols/cert"
)

// wordRenewed begins an expectation about nodes' certificates.
const wordRenewed = "renewed"

// renewEvery is how often a node is asked for its certificate.
const renewEvery = 50 * time.Millisecond

// certificateOnDisk is where a node keeps its certificate.
const certificateOnDisk = "node.crt"

// RenewExpect is that nodes get other certificates, and have them on their disks.
type RenewExpect struct {
	Of     string        // a node, or everyName
	Within time.Duration // from the step on
}

// parseRenewExpect reads `renewed n1 within 20s`.
func parseRenewExpect(words []string) (e RenewExpect, err error) {
	const usage = "write: expect renewed n1 within 20s, or expect renewed all within 20s"
	if len(words) != 4 || words[2] != "within" {
		return e, fmt.Errorf("cannot expect %q; %s", strings.Join(words, " "), usage)
	}
	if e.Of = words[1]; e.Of != everyName && (!isName(e.Of) || e.Of == registryName) {
		return e, fmt.Errorf("%q is no name of a node; %s", e.Of, usage)
	}
	if e.Within, err = parseDuration(words[3]); err == nil && e.Within == 0 {
		err = fmt.Errorf("no time at all is too short; %s", usage)
	}
	return e, err
}

// String gives the expectation as it is written.
func (e RenewExpect) String() string {
	return fmt.Sprintf("expect renewed %s within %v", e.Of, e.Within)
}

// renew has nodes get other certificates, all at once.
func (l *Lab) renew(ctx context.Context, name string) error {
	members := l.nodes()
	if name != everyName {
		members = []*member{l.members[name]}
	}
	return each(members, func(m *member) error {
		if m.isRegistry() {
			return fmt.Errorf("%w: the registry is no node", ErrState)
		}
		return l.runToEnd(ctx, m, l.program.renew(m.dir))
	})
}

// expectRenew waits until nodes have other certificates than at the start of the step.
func (r *rehearsal) expectRenew(ctx context.Context, e *RenewExpect, report *StepReport) error {
	names := []string{e.Of}
	if e.Of == everyName {
		names = r.lab.alive()
	}
	began := r.prober.now()
	ctx, cancel := context.WithTimeout(ctx, e.Within)
	defer cancel()
	before := map[string]string{}
	for _, name := range names {
		serial, err := r.lab.certificate(ctx, name)
		if err != nil {
			return err
		}
		before[name] = serial
	}
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		late := ""
		for _, name := range names {
			if serial, err := r.lab.certificate(ctx, name); err != nil {
				late = err.Error()
			} else if serial == before[name] {
				late = fmt.Sprintf("%s has certificate %s as before", name, serial)
			}
		}
		if late == "" {
			report.Saw = fmt.Sprintf("after %.1f s, %d of %d nodes, on disk too", (r.prober.now() - began).Seconds(), len(names), len(names))
			return nil
		}
		select {
		case <-ticker.C:
			report.Saw = late
		case <-ctx.Done():
			report.OK = false
			return nil // the scenario goes on
		}
	}
}

// certificate is the serial number of a node's certificate, by its own word, which must
// be on its disk too.
func (l *Lab) certificate(ctx context.Context, name string) (string, error) {
	dir := l.members[name].dir
	text, err := os.ReadFile(filepath.Join(dir, certificateOnDisk))
	if err != nil {
		return "", fmt.Errorf("lab: %s: %w", name, err)
	}
	der, err := cert.DecodeCertificate(text)
	if err != nil {
		return "", fmt.Errorf("lab: %s: %s: %w", name, certificateOnDisk, err)
	}
	var s monitor.Status
	if err := monitor.NewClient(l.program.socket(dir)).Get(ctx, "status", &s); err != nil {
		return "", fmt.Errorf("lab: %s: %w", name, err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("lab: %s: %s: %w", name, certificateOnDisk, err)
	}
	if onDisk := c.SerialNumber.Text(16); onDisk != s.Certificate.Serial {
		return "", fmt.Errorf("lab: %s shows certificate %s, on disk is %s", name, s.Certificate.Serial, onDisk)
	}
	return s.Certificate.Serial, nil
}
