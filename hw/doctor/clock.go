package doctor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock asks the kernel whether somebody keeps its clock right (adjtimex(2)).
func clock() Finding {
	f := Finding{
		Area: "clock", Name: "system clock", For: "the dates of certificates",
		Cure: "run a time service: apt-get install systemd-timesyncd (or chrony)",
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		f.Grade, f.Found = Unknown, err.Error()
		return f
	}
	now := time.Now().UTC().Format(time.RFC3339)
	if t.Status&unix.STA_UNSYNC != 0 {
		return f.wanted(fmt.Errorf("%s, and nobody keeps it right", now), "")
	}
	return f.wanted(nil, fmt.Sprintf("%s, right to %v at most", now, time.Duration(t.Maxerror)*time.Microsecond))
}
