package registry_test

import (
	"strings"
	"testing"
	"time"

	service "re6st/actors/registry"
	"re6st/hw/doctor"
)

func TestCheckupOfAMember(t *testing.T) {
	r := newRegistry(t, nil)
	j := joining(t, r.invite(t))
	m, err := try(t, j)
	if err != nil {
		t.Fatal(err)
	}
	dir, end := j.Dir.Path("."), m.Identity.Certificate.NotAfter
	all := service.Checkup(t.Context(), dir, time.Now)
	if len(all) != 2 || all[0].Grade != doctor.OK || all[1].Grade != doctor.OK || !strings.Contains(all[1].Found, "parameters number 1") {
		t.Errorf("%+v", all)
	}
	r.stop(t)
	all = service.Checkup(t.Context(), dir, time.Now)
	if len(all) != 2 || all[1].Grade != doctor.Note || all[1].Cure == "" {
		t.Errorf("with the registry dead: %+v", all)
	}
	late := func() time.Time { return end.Add(-24 * time.Hour) }
	if all = service.Checkup(t.Context(), dir, late); all[0].Grade != doctor.Note {
		t.Errorf("a day before the end: %+v", all[0])
	}
	gone := func() time.Time { return end.Add(24 * time.Hour) }
	if all = service.Checkup(t.Context(), dir, gone); len(all) != 1 || all[0].Grade != doctor.Lack || !strings.Contains(all[0].Cure, "clock") {
		t.Errorf("a day after the end: %+v", all)
	}
}

func TestCheckupOfNobody(t *testing.T) {
	all := service.Checkup(t.Context(), t.TempDir(), time.Now)
	if len(all) != 1 || all[0].Grade != doctor.Lack || !strings.Contains(all[0].Cure, "re6st join") {
		t.Errorf("%+v", all)
	}
}
