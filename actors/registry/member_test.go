package registry_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/hw/nodedir"
)

func TestDamagedIdentityIsNamedByItsFile(t *testing.T) {
	r := newRegistry(t, nil)
	one, other := joining(t, r.invite(t)), joining(t, r.invite(t))
	foreign := newRegistry(t, nil)
	third := joining(t, foreign.invite(t))
	for _, j := range []service.Joining{one, other, third} {
		if _, err := try(t, j); err != nil {
			t.Fatal(err)
		}
	}
	read := func(d nodedir.Dir, name string) []byte {
		b, err := d.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		file    string
		content []byte
	}{
		{"ca.crt", read(third.Dir, "ca.crt")},
		{"node.crt", []byte("x")},
		{"node.crt", read(third.Dir, "node.crt")},
		{"node.key", read(other.Dir, "node.key")},
		{"node.key", nil},
		{"static.key", read(other.Dir, "static.key")},
		{"static.key", read(one.Dir, "node.key")},
		{"static.key", []byte(strings.SplitAfter(string(read(one.Dir, "static.key")), "END PRIVATE KEY-----\n")[0])},
		{"registry", read(third.Dir, "registry")},
		{"registry", []byte("nonsense")},
		{"params", read(third.Dir, "params")},
	} {
		good := read(one.Dir, c.file)
		if err := one.Dir.Write(c.file, c.content, nodedir.Private); err != nil {
			t.Fatal(err)
		}
		_, err := service.LoadMember(one.Dir, time.Now())
		// A foreign CA shows by the certificate that it did not sign.
		if !errors.Is(err, service.ErrMember) || c.file != "ca.crt" && !strings.Contains(err.Error(), c.file) {
			t.Errorf("%s with %.20q: %v", c.file, c.content, err)
		}
		if err := one.Dir.Write(c.file, good, nodedir.Private); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := service.LoadMember(one.Dir, time.Now().Add(2*year)); !errors.Is(err, service.ErrMember) {
		t.Errorf("expired: %v", err)
	}
	if _, err := service.LoadMember(newDir(t), time.Now()); !errors.Is(err, service.ErrMember) || !strings.Contains(err.Error(), "re6st join") {
		t.Errorf("none: %v", err)
	}
	if _, err := service.LoadMember(one.Dir, time.Now()); err != nil {
		t.Errorf("the whole one: %v", err)
	}
}

func TestSavedParametersAreLoaded(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	if _, err := try(t, j); err != nil {
		t.Fatal(err)
	}
	next, err := r.store.SetParams(t.Context(), rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.SaveParams(j.Dir, next); err != nil {
		t.Fatal(err)
	}
	if m, err := service.LoadMember(j.Dir, time.Now()); err != nil || m.Params.Number != 2 {
		t.Errorf("loaded %v", err)
	}
}
