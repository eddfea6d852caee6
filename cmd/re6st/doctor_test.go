package main

import (
	"bytes"
	"testing"
	"time"

	"re6st/actors/monitor"
	"re6st/hw/doctor"
)

var sampleDiagnosis = diagnosis{
	Header: monitor.Header{Version: monitor.Schema, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, Lacks: 1, Notes: 1,
	Findings: []doctor.Finding{
		{Area: "kernel", Name: "release", Grade: doctor.OK, Found: "6.1.0 x86_64", For: "the node"},
		{Area: "kernel", Name: "fou", Grade: doctor.Note, Found: "not in this kernel", For: "fou tunnels", Cure: "another kernel"},
		{Area: "settings", Name: "IPv6", Grade: doctor.Lack, Found: "disabled", For: "the mesh", Cure: "enable it"},
	},
}

func TestTheWorstIsShownFirst(t *testing.T) {
	const want = `lack     settings IPv6: disabled
         for   the mesh
         cure  enable it
note     kernel fou: not in this kernel
         for   fou tunnels
         cure  another kernel
3 examined: 1 lacking, 1 optional not there, 0 unknown
`
	var b bytes.Buffer
	if err := showDiagnosis(&b, sampleDiagnosis, false); err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestADiagnosisInJSON(t *testing.T) {
	const want = `{
  "version": 1,
  "now": "2026-01-02T03:04:05Z",
  "lacks": 1,
  "notes": 1,
  "findings": [
    {
      "area": "kernel",
      "name": "release",
      "grade": "ok",
      "found": "6.1.0 x86_64",
      "for": "the node"
    },
    {
      "area": "kernel",
      "name": "fou",
      "grade": "note",
      "found": "not in this kernel",
      "for": "fou tunnels",
      "cure": "another kernel"
    },
    {
      "area": "settings",
      "name": "IPv6",
      "grade": "lack",
      "found": "disabled",
      "for": "the mesh",
      "cure": "enable it"
    }
  ]
}
`
	var b bytes.Buffer
	if err := printJSON(&b, sampleDiagnosis); err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}
