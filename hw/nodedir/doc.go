// Package nodedir keeps the files of one node: its identity, its parameters and
// what it wants to find again after a restart.
//
//	Write(name)                                    kill -9 or power cut
//	  | .name.tmp: create, write, fsync                 -> the old file is there
//	  | rename over name                                -> the old or the new one
//	  | fsync of the folder                             -> the new one
//	  v
//	done
//
// What the caller has to do:
//
//  1. Be the only one that writes a given name.
//  2. Take a full or read-only disk as what it is: an error from Write that is no
//     reason to stop. What only the next start needs is given to Keep, and Retry is
//     called now and then; Problem says what to tell of it.
package nodedir
