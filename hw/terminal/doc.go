// Package terminal draws text that changes in one place of a terminal, without
// flicker: each frame is one write that goes over the one before and clears what is
// left of it (ECMA-48: CUP, EL, ED). What does not fit the window is cut off.
//
//	Draw(frame) ─> window size (tty_ioctl(4)) ─> home, lines, clear to the end
//	            └> not a terminal: the frame as it is, an empty line between two
package terminal
