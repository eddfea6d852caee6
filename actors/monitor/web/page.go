package web

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed page
var files embed.FS

// View is what a page shows.
type View string

// The views. A file page/VIEW.html is the page, page/VIEW.js asks for its data.
const (
	Node View = "node" // one node: /v1/status and others, /events
	Lab  View = "lab"  // a whole network: /v1/lab
)

// Page serves a view at / and what it loads at /page/.
func Page(v View) http.Handler {
	mux := http.NewServeMux()
	name := "page/" + string(v) + ".html"
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	mux.HandleFunc("GET /page/{file}", func(w http.ResponseWriter, r *http.Request) {
		file := "page/" + r.PathValue("file")
		if _, err := fs.Stat(files, file); err != nil {
			http.NotFound(w, r)
			return
		}
		http.ServeFileFS(w, r, files, file)
	})
	return mux
}
