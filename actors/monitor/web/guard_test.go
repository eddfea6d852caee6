package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"re6st/actors/monitor/web"
)

func ask(method, host, path string, h http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOtherNamesOfTheLoopbackAreRefused(t *testing.T) {
	h := web.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, code := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1": 200, "127.0.0.1:7327": 200, "127.9.9.9:1": 200, "[::1]": 200, "[::1]:7327": 200,
		"": 403, "rebound.example": 403, "rebound.example:7327": 403, "127.0.0.1.rebound.example": 403, "192.0.2.1:7327": 403,
		"localhost.rebound.example": 403, "[2001:db8::1]:80": 403, "0.0.0.0": 403,
	} {
		if w := ask("GET", host, "/", h); w.Code != code {
			t.Errorf("host %q: %d, want %d", host, w.Code, code)
		}
	}
}

func TestNoAnswerIsForOtherOrigins(t *testing.T) {
	h := web.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, w := range []*httptest.ResponseRecorder{ask("GET", "localhost", "/", h), ask("GET", "x.example", "/", h), ask("POST", "localhost", "/", h)} {
		if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			!strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("headers %v", w.Header())
		}
	}
}
