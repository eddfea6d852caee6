package flood

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"re6st/protocols/cert"
	"re6st/protocols/fabric"
	"re6st/protocols/registry"
)

// joiners is how many calls are under way at a time at most.
const joiners = 64

// join calls the registry again and again, each time on a new connection.
func (f *flooder) join(ctx context.Context) error {
	body, err := f.joinRequest()
	if err != nil {
		return err
	}
	from, slots := f.sources(), make(chan struct{}, joiners)
	var calling sync.WaitGroup
	defer calling.Wait()
	f.pace(ctx, func(i int) {
		select {
		case slots <- struct{}{}:
		default: // the registry keeps the others waiting
			return
		}
		calling.Go(func() {
			defer func() { <-slots }()
			f.sent.Add(1)
			dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from[i%len(from)].AsSlice()}}
			client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
				DialContext: dialer.DialContext, DisableKeepAlives: true,
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // who floods believes anything
			}}
			answer, err := client.Post("https://"+f.Target.String()+registry.PathJoin, "application/json", bytes.NewReader(body))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			f.answered.Add(1)
		})
	})
	return nil
}

// joinRequest is right in all but its token.
func (f *flooder) joinRequest() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(f.Dir, "ca.crt"))
	if err != nil {
		return nil, err
	}
	der, err := cert.DecodeCertificate(text)
	if err != nil {
		return nil, err
	}
	authority, err := cert.ParseAuthority(der)
	if err != nil {
		return nil, err
	}
	key, err1 := cert.GenerateKey(rand.Reader, cert.ECDSA)
	static, err2 := fabric.GenerateStatic(rand.Reader)
	token, err3 := registry.NewToken(rand.Reader)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	csr, err1 := cert.NewRequest(rand.Reader, key)
	binding, err2 := cert.SignKey(rand.Reader, key, authority.Fingerprint, [32]byte(static.Public))
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return json.Marshal(registry.JoinRequest{Token: token, CSR: csr, Static: registry.StaticKey(static.Public), Binding: binding})
}
