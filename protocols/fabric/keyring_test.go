package fabric

import (
	"testing"
	"time"
)

// countedKeys are keys without a cipher.
type countedKeys struct{ index uint32 }

func (k *countedKeys) LocalIndex() uint32            { return k.index }
func (k *countedKeys) Usage() (bytes, frames uint64) { return 0, 0 }
func (k *countedKeys) heard() uint64                 { return 0 }

func TestKeysThatNobodyConfirmsAreBounded(t *testing.T) {
	var retired []uint32
	r := &keyring[*countedKeys]{
		waits:   time.Minute,
		install: func(*sealing[*countedKeys]) {}, use: func(*sealing[*countedKeys]) {},
		retire: func(index uint32) { retired = append(retired, index) },
	}
	now := time.Unix(1, 0)
	r.offer(now, &countedKeys{1}, &agreement{})
	r.confirm(now, 1)
	for i := range uint32(maxUnconfirmed + 2) {
		r.offer(now, &countedKeys{2 + i}, &agreement{})
	}
	if len(r.keys) != 1+maxUnconfirmed {
		t.Errorf("%d keys, want those in use and %d more", len(r.keys), maxUnconfirmed)
	}
	if len(retired) != 2 || retired[0] != 2 || retired[1] != 3 || r.current.session.index != 1 {
		t.Errorf("%v had to go, the oldest that nobody confirmed are 2 and 3", retired)
	}
}
