// Command vm runs a command under a whole Debian kernel, in an emulated machine: for
// tests of what the kernel at hand lacks, such as GRE, FOU, WireGuard, netem, taprio
// and etf.
//
//	vm COMMAND                                  QEMU, Debian's kernel
//	  |  initramfs (newc): this binary as init,   |
//	  |  modules for 9p and overlay, the task     |  init: / is the host's root by 9p,
//	  +------------------------------------------>|  read-only, below an overlay in memory
//	  |<------------------------------------------+  COMMAND as root, in the same folder
//	     frames: standard output, standard error, exit status (virtio serial port)
//
// What is written inside is thrown away, but for the folder of -w. There is no network
// to the outside and no standard input. With go test -exec a test binary is the command:
//
//	go test -exec "$PWD/bin/vm" -tags kernel ./hw/ktunnel
//
// The exit status is the command's, 124 after the time limit, 125 where the machine
// itself failed. Nothing is left behind however this ends: the machine dies with its
// starter, and what belongs to it has no name in the file system.
//
// The kernel is downloaded from Debian once, into the folder kernel beside the program;
// it is not installed. qemu-system-x86 and kmod are, by make test-kernel. Without KVM the processor
// is emulated: it is right, and tens of times slower, so that no figure of time means anything.
//
// Formats: cpio's newc (Linux Documentation/driver-api/early-userspace/buffer-format.rst),
// the 9p share and its options (Documentation/filesystems/9p.rst).
package main
