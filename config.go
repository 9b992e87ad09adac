package perdure

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/perdure/perdure/config"
)

// OpenConfig returns a node that runs as cfg says: on a NATS server inside the process,
// by itself or in a cluster, like [Open], or on the servers of cfg.URL, like [Connect].
// The options come after what cfg says, and are stronger; [Host] says which kinds the node
// has. An error about cfg is [config.Faults]: everything that is wrong with it.
func OpenConfig(ctx context.Context, cfg *config.Config, opts ...Option) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	all, err := configured(cfg)
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	all = append(all, opts...)
	if cfg.URL != "" {
		return Connect(ctx, cfg.URL, all...)
	}
	return Open(ctx, all...)
}

// WithConfig is how a client of cfg is connected: its namespace, payload cap, credentials
// and certificates. It is for [Dial], [Restore] and the like, which are told the address;
// [DialConfig] takes it from cfg, too.
func WithConfig(cfg *config.Config) Option {
	return func(o *options) error {
		own, err := secured(cfg)
		if err != nil {
			return err
		}
		o.broker.Namespace, o.broker.PayloadCap = cfg.Namespace, cfg.PayloadCap
		return NATSOptions(own...)(o)
	}
}

// configured returns the options that a configuration stands for.
func configured(cfg *config.Config) ([]Option, error) {
	opts := []Option{
		Namespace(cfg.Namespace), Name(cfg.Name), Pool(cfg.Pool), WithDurability(cfg.Durability), Dir(cfg.Dir), Listen(cfg.Listen),
		Replicas(cfg.Replicas), SuspendAfter(cfg.SuspendAfter), Grace(cfg.Grace), PayloadCap(cfg.PayloadCap), Logger(newLogger(cfg.Log)),
	}
	add := func(set bool, o Option) {
		if set {
			opts = append(opts, o)
		}
	}
	add(cfg.ProgramVersion != "", ProgramVersion(cfg.ProgramVersion))
	add(cfg.Health != "", Health(cfg.Health))
	add(cfg.SyncAlways, SyncAlways())
	add(cfg.Retention != 0, Retention(cfg.Retention))
	add(cfg.MaxRuns != 0, MaxRuns(cfg.MaxRuns))
	add(cfg.MaxWaiting != 0, MaxWaiting(cfg.MaxWaiting))
	add(cfg.Capacity != 0, Capacity(cfg.Capacity))
	add(cfg.MaxCrashes != 0, MaxCrashes(max(0, cfg.MaxCrashes)))
	for outcome, d := range cfg.Keep {
		opts = append(opts, Keep(outcome, d))
	}
	if cfg.Clustered() {
		cluster, err := clusterOf(&cfg.Cluster)
		if err != nil {
			return nil, err
		}
		opts = append(opts, Cluster(cluster))
	}
	secured, err := secured(cfg)
	if err != nil {
		return nil, err
	}
	return append(opts, NATSOptions(secured...)), nil
}

// clusterOf reads what a configuration says of a cluster.
func clusterOf(c *config.Cluster) (ClusterConfig, error) {
	secured, err := c.TLS.Config()
	if err != nil {
		return ClusterConfig{}, fmt.Errorf("cluster.tls: %w", err)
	}
	out := ClusterConfig{Name: c.Name, Listen: c.Listen, Advertise: c.Advertise, Routes: c.Routes, User: c.User, Password: c.Password, TLS: secured}
	if c.PasswordFile != "" {
		if out.Password, err = config.ReadSecret(c.PasswordFile); err != nil {
			return ClusterConfig{}, fmt.Errorf("cluster.password_file %s: %w", c.PasswordFile, err)
		}
	}
	return out, nil
}

// secured returns how a node says who it is, and checks who the server is.
func secured(cfg *config.Config) (opts []nats.Option, err error) {
	c, t := &cfg.Credentials, &cfg.TLS
	switch {
	case c.File != "":
		opts = append(opts, nats.UserCredentials(c.File))
	case c.NKeyFile != "":
		o, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("credentials.nkey_file %s: %w", c.NKeyFile, err)
		}
		opts = append(opts, o)
	case c.TokenFile != "":
		opts = append(opts, nats.TokenHandler(func() string { return secretOf(c.TokenFile) }))
	case c.Token != "":
		opts = append(opts, nats.Token(c.Token))
	case c.PasswordFile != "":
		opts = append(opts, nats.UserInfoHandler(func() (string, string) { return c.User, secretOf(c.PasswordFile) }))
	case c.User != "":
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if t.CA != "" {
		opts = append(opts, nats.RootCAs(t.CA))
	}
	if t.Cert != "" {
		opts = append(opts, nats.ClientCert(t.Cert, t.Key))
	}
	return opts, nil
}

// secretOf reads a file at each connection, as it may have been changed meanwhile. One that is gone
// is like a wrong secret: the server says so, and it is tried again.
func secretOf(path string) string {
	s, _ := config.ReadSecret(path)
	return s
}

// newLogger is where a configuration says that a node logs.
func newLogger(l config.Log) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(l.Level)) // one of its words, or none
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
