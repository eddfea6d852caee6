package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"re6st/actors/monitor"
)

// loopback is a client on the loopback of a node.
func (m *mesh) loopback(t *testing.T, i int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
			m.inside(t, i, func() error {
				conn, err = net.Dial(network, address)
				return nil
			})
			return conn, err
		},
	}}
}

func TestANodeTellsPrometheusWhatItDoes(t *testing.T) {
	config := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(config, []byte("http = \"127.0.0.1:7327\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := meshUp(t, "--nodes", "3", "--topology", "line", "--config", config)
	const middle = 1
	client := m.loopback(t, middle)
	metrics := func() string {
		answer, err := client.Get("http://127.0.0.1:7327/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", answer.Status, err)
		}
		return string(text)
	}
	request := monitor.FaultRequest{Actor: "node/session", How: "panic"}
	if err := monitor.NewClient(m.Nodes[middle].Socket).Post(t.Context(), "debug/fault", request, new(monitor.FaultAnswer)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`re6st_reachable_nodes 2`, `re6st_registry_up 1`, `re6st_params_number 1`, `re6st_node_state{state="running"} 1`,
		`re6st_link_up{peer="` + m.id(t, 0) + `",role=`, `re6st_link_sent_bytes_total{peer="` + m.id(t, 2) + `"} `,
		`re6st_actor_restarts_total{kind="session"} 1`,
	}
	var missing []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		text := metrics()
		missing = nil
		for _, line := range want {
			if !strings.Contains(text, "\n"+line) {
				missing = append(missing, line)
			}
		}
		if missing == nil {
			return
		}
	}
	t.Errorf("the metrics lack %q", missing)
}
