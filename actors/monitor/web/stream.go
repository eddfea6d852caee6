package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// Beat is how often to call Stream.Beat where nothing else is sent: it finds out
// whether the reader has gone.
const Beat = 15 * time.Second

// writeTimeout is how long a reader may take for what was sent. One that takes
// longer is let go.
const writeTimeout = 10 * time.Second

// Stream is an answer of server-sent events. Not safe for concurrent use.
type Stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

// NewStream begins the answer.
func NewStream(w http.ResponseWriter) *Stream {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	s := &Stream{w, http.NewResponseController(w)}
	_ = s.Beat() // so that the reader knows that it is heard; Send finds out if it has gone
	return s
}

// Send sends v as JSON. A reader that comes back says the id of the last one in the
// header Last-Event-ID. An error says that the reader has gone, or is too slow.
func (s *Stream) Send(id string, v any) error {
	data, err := json.Marshal(v) // on one line, as the format wants it
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("id: " + id + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return s.write(b.Bytes())
}

// Beat sends a comment, which readers skip.
func (s *Stream) Beat() error { return s.write([]byte(":\n\n")) }

func (s *Stream) write(b []byte) error {
	if err := s.out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.out.Flush()
}
