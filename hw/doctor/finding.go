package doctor

// Grade is how grave a finding is.
type Grade string

// The grades, the best first.
const (
	OK      Grade = "ok"
	Note    Grade = "note"    // something optional is not there
	Lack    Grade = "lack"    // a node does not work well, or not at all
	Unknown Grade = "unknown" // it could not be examined
)

// Finding is what one examination has shown.
type Finding struct {
	Area  string `json:"area"` // kernel, sockets, settings, clock, underlay, folder or the caller's
	Name  string `json:"name"`
	Grade Grade  `json:"grade"`
	Found string `json:"found"`
	For   string `json:"for,omitempty"`  // what needs it
	Cure  string `json:"cure,omitempty"` // unless the grade is OK
}

// needed is a Lack with its cure where there is an error, else OK with found.
func (f Finding) needed(err error, found string) Finding { return f.graded(Lack, err, found) }

// wanted is needed for what is optional: a Note.
func (f Finding) wanted(err error, found string) Finding { return f.graded(Note, err, found) }

func (f Finding) graded(bad Grade, err error, found string) Finding {
	if err != nil {
		f.Grade, f.Found = bad, err.Error()
		return f
	}
	f.Grade, f.Found, f.Cure = OK, found, ""
	return f
}

// Count is how many findings have a grade.
func Count(all []Finding, g Grade) (n int) {
	for _, f := range all {
		if f.Grade == g {
			n++
		}
	}
	return n
}
