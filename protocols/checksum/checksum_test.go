package checksum

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestTheSumIsThatOfTheWords compares with the definition, for all lengths and for words
// whose sum runs over.
func TestTheSumIsThatOfTheWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for length := range 300 {
		for _, b := range [][]byte{make([]byte, length), make([]byte, length), make([]byte, length)} {
			kind := rng.IntN(3)
			for i := range b {
				switch b[i] = byte(rng.Uint32()); kind {
				case 0:
					b[i] = 0xff
				case 1:
					b[i] |= 0xf0
				}
			}
			want := uint64(77)
			for i := range b {
				want += uint64(b[i]) << (8 * (1 - i%2))
			}
			for want > 0xffff {
				want = want>>16 + want&0xffff
			}
			if got := Fold(Add(b, 77)); uint64(got) != want {
				t.Fatalf("%d bytes: %#x, want %#x", length, got, want)
			}
			if got := Of(77, b); got != ^uint16(want) {
				t.Fatalf("%d bytes: the checksum is %#x, want %#x", length, got, ^uint16(want))
			}
		}
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{100, 1360} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Add(data, 1)
			}
		})
	}
}
