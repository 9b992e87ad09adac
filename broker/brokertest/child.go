package brokertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// childEnv holds the configuration of a child process; where it is set, this
// program is one.
const childEnv = "PERDURE_BROKERTEST_SERVER"

// A ServerConfig says how a server of [Server] and [Cluster] runs.
type ServerConfig struct {
	SyncAlways  bool  // fsync before every acknowledgement
	NoJetStream bool  // core NATS only
	MaxStore    int64 // bytes that JetStream may store; 0 for no limit
	MaxPayload  int32 // bytes of a message; 0 for the server's default, 1 MiB

	Conf string // more settings, as a configuration file of the server has them

	// Name, Dir, Port, ClusterPort and Routes are set by this package.
	Name        string
	Dir         string
	Port        int
	ClusterPort int
	Routes      []string
}

// What a child says on its standard output, one line each.
const (
	lineReady   = "ready"   // it takes connections
	lineCurrent = "current" // it is up to date with its cluster
)

// init makes a child process of the test's program a NATS server.
func init() {
	config := os.Getenv(childEnv)
	if config == "" {
		return
	}
	if err := serve(config); err != nil {
		fmt.Fprintln(os.Stderr, "brokertest server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs a server until standard input ends, which it does with the
// parent however that ends.
func serve(config string) error {
	var c ServerConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("configure server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("server on port %d is not ready", c.Port)
	}
	fmt.Println(lineReady)
	go func() {
		for c.ClusterPort != 0 && !s.JetStreamIsCurrent() {
			time.Sleep(10 * time.Millisecond) // the server has no event for it
		}
		fmt.Println(lineCurrent)
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}

func (c *ServerConfig) options() (*server.Options, error) {
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, NoSigs: true, NoLog: true,
		JetStream: !c.NoJetStream, StoreDir: c.Dir, SyncAlways: c.SyncAlways, MaxPayload: c.MaxPayload,
		JetStreamMaxMemory: 1 << 40, JetStreamMaxStore: 1 << 60,
	}
	if c.Conf != "" {
		if err := o.ProcessConfigString(c.Conf); err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
	}
	if c.MaxStore > 0 {
		o.JetStreamMaxStore = c.MaxStore
	}
	if c.ClusterPort != 0 {
		o.Cluster = server.ClusterOpts{Name: "brokertest", Host: "127.0.0.1", Port: c.ClusterPort}
	}
	for _, r := range c.Routes {
		u, err := url.Parse(r)
		if err != nil {
			return nil, fmt.Errorf("route: %w", err)
		}
		o.Routes = append(o.Routes, u)
	}
	return o, nil
}
