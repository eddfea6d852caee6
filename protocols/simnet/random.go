package simnet

// source is splitmix64: a source of randomness of eight bytes, as every node has two.
type source uint64

func (s *source) Uint64() uint64 {
	*s += 0x9e3779b97f4a7c15
	return mix(uint64(*s))
}

func (s *source) Int63() int64    { return int64(s.Uint64() >> 1) }
func (s *source) Seed(seed int64) { *s = source(seed) }

// below is a number of 0 to n-1.
func (s *source) below(n int64) int64 { return int64(s.Uint64()>>1) % n }

// share is a number of 0 to 1.
func (s *source) share() float64 { return float64(s.Uint64()>>11) / (1 << 53) }

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// draw is a source of its own for what, of a seed.
func draw(seed uint64, what ...uint64) source {
	s := mix(seed + 0x9e3779b97f4a7c15)
	for _, w := range what {
		s = mix(s ^ mix(w+0x9e3779b97f4a7c15))
	}
	return source(s)
}
