// Package brokertest gives tests real NATS: an embedded one in a directory of
// its own, servers and clusters in child processes that can be killed, and a
// connection that can be cut.
//
//	b := brokertest.Open(t)                       // closed when the test ends
//	srv := brokertest.Server(t)                   // a process of its own
//	b = brokertest.Connect(t, srv.URL())
//	srv.Kill()                                    // SIGKILL
//	srv.Restart()                                 // same port, same directory
//
// A child process is the test's own program started again: importing this
// package is enough.
package brokertest
