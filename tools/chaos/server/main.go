// Command server is a NATS server of a chaos run.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A config says how a server runs.
type config struct {
	Name, Dir         string
	Port, ClusterPort int
	HealthPort        int
	Routes            []string
	MaxStore          int64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run runs a server until standard input ends.
func run() error {
	var c config
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, HTTPHost: "127.0.0.1", HTTPPort: c.HealthPort, NoSigs: true,
		JetStream: true, StoreDir: c.Dir, JetStreamMaxMemory: 1 << 40, JetStreamMaxStore: 1 << 60,
		// Whom others tell of this server is told an address at which nobody is: all
		// connections are those through the proxies.
		Cluster: server.ClusterOpts{Name: "chaos", Host: "127.0.0.1", Port: c.ClusterPort, NoAdvertise: true, Advertise: "127.0.0.1:9"},
	}
	for _, r := range c.Routes {
		u, err := url.Parse(r)
		if err != nil {
			return err
		}
		o.Routes = append(o.Routes, u)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("server %s is not ready", c.Name)
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}
