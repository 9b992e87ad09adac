package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// readyWait is how long one look at a starting server takes.
const readyWait = 10 * time.Millisecond

// An embedded is a NATS server inside this process, with its data directory.
type embedded struct {
	srv  *server.Server
	lock *dirLock
	log  *serverLog
	disk *disk // nil if the server fsyncs its files itself
	// clientAuth is who may connect to a server of a cluster; nil for one that is alone.
	clientAuth *clientAuth
}

// startEmbedded locks cfg.Dir and starts a server in it, which leaves the fsyncs to
// us if grouped is true. It returns when the server takes connections.
func startEmbedded(ctx context.Context, cfg *Config, grouped bool) (*embedded, error) {
	lock, err := cfg.lock, error(nil)
	if lock == nil {
		lock, err = lockDir(cfg.Dir)
	}
	if err != nil {
		return nil, err
	}
	e := &embedded{lock: lock}
	name, err := serverName(cfg.Dir, cfg.Cluster)
	if err == nil && cfg.Cluster != nil {
		err = cfg.Cluster.unlikeOthers(ctx, name)
	}
	if err == nil {
		err = restoreHeld(cfg.Dir, cfg.Logger)
	}
	if err == nil && cfg.Durability == Disk {
		if err = makeFolders(cfg.Dir); err == nil {
			err = mendStreams(cfg.Dir)
		}
	}
	if err == nil && grouped {
		err = beginHeld(cfg.Dir)
		e.disk = openDisk(cfg.Dir, cfg.Logger)
		if cfg.spoil != nil {
			cfg.spoil(e.disk)
		}
	}
	if err == nil && grouped {
		err = e.disk.holdAll()
	}
	if err == nil {
		err = e.start(ctx, cfg, name, grouped)
	}
	if err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

// groups reports whether one fsync is to serve many messages. Windows does not let
// go of a file that somebody else has open.
func (c *Config) groups() bool {
	return c.embedded() && c.Cluster == nil && c.Durability == Disk && !c.SyncAlways && runtime.GOOS != "windows"
}

// serverPrefix begins the names of embedded servers; the namespace follows.
const serverPrefix = "perdure-"

// groupedMark ends the name of a server whose messages are fsynced in rounds, so
// that clients know when they connect.
const groupedMark = "+rounds"

// start starts the server; name is its name in its cluster.
func (e *embedded) start(ctx context.Context, cfg *Config, name string, grouped bool) error {
	if cfg.Cluster == nil {
		name = serverPrefix + cfg.Namespace
	}
	if grouped {
		name += groupedMark
	}
	o := &server.Options{
		ServerName: name,
		DontListen: cfg.Listen == "",
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   cfg.Dir,
		// The disk is the limit: a limit below it would refuse the products
		// of schedules, which then never fire again (P13).
		JetStreamMaxStore:      1 << 60,
		JetStreamMaxMemory:     1 << 40,
		DisableJetStreamBanner: true,
		// Nearly every subject is that of one run: what is kept of it is soon thrown away.
		NoSublistCache: true,
	}
	cfg.Durability.apply(o, grouped)
	if cfg.Listen != "" {
		host, port, err := net.SplitHostPort(cfg.Listen)
		if err != nil {
			return fmt.Errorf("listen address %q is not HOST:PORT: %w", cfg.Listen, err)
		}
		if o.Host, o.Port, err = claimPort(host, port); err != nil {
			return fmt.Errorf("listen on %s: %w", cfg.Listen, err)
		}
	}
	if cfg.Cluster != nil {
		if err := cfg.Cluster.apply(o, name); err != nil {
			return err
		}
		e.clientAuth = newClientAuth()
		o.CustomClientAuthentication = e.clientAuth
	}
	srv, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	if e.clientAuth != nil {
		e.clientAuth.srv = srv
	}
	e.srv = srv
	e.log = newServerLog(cfg.Logger)
	srv.SetLoggerV2(e.log, false, false, false)
	srv.Start()
	for !srv.ReadyForConnections(readyWait) {
		if !srv.Running() {
			return fmt.Errorf("start the embedded NATS server in %s: it stopped; its warnings say why", cfg.Dir)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("start the embedded NATS server in %s: %w", cfg.Dir, ctx.Err())
		}
	}
	if !srv.JetStreamEnabled() {
		return fmt.Errorf("start the embedded NATS server in %s: %w: its warnings say why", cfg.Dir, ErrDirUnusable)
	}
	return nil
}

// claimPort finds out whether a port can be listened on before the server
// tries, since the server can only say so in its log. Port 0 is any free one, which the
// server takes itself: another process could have it before the server listens.
func claimPort(host, port string) (string, int, error) {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", 0, fmt.Errorf("port %q is not a number up to 65535", port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		if addrInUse(err) {
			return "", 0, fmt.Errorf("%w; choose another port or stop the program that has it", ErrPortInUse)
		}
		return "", 0, err
	}
	n := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return "", 0, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	if port == "0" {
		n = server.RANDOM_PORT
	}
	return host, n, nil
}

// url is where other programs reach the server; empty when nowhere.
func (e *embedded) url() string {
	addr, ok := e.srv.Addr().(*net.TCPAddr)
	if !ok || addr == nil {
		return ""
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// shutdown stops the server, waits for it, and lets its files go.
func (e *embedded) shutdown() error {
	if e.srv != nil {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
		e.srv = nil
		e.log.close()
	}
	if e.disk == nil {
		return nil
	}
	d := e.disk
	e.disk = nil
	d.release()
	if err := syncTree(d.root); err != nil {
		return fmt.Errorf("make what the server wrote last durable: %w", err) // the next start looks at what is held
	}
	return removeHeld(d.held)
}

// stop shuts the server down, and releases the directory.
func (e *embedded) stop() error {
	down := e.shutdown()
	if e.lock == nil { // it is another's now
		return down
	}
	if err := e.lock.release(); err != nil {
		return errors.Join(down, fmt.Errorf("release %s: %w", filepath.Base(e.lock.file.Name()), err))
	}
	return down
}
