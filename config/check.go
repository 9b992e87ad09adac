package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/perdure/perdure/broker"
)

// unlisted reports whether the routes cannot have this server: all are addresses, and none is
// its own. A name may stand for it, and so may any address where it listens on all.
func (c *Cluster) unlisted() bool {
	own := broker.PlainAddress(cmp.Or(c.Advertise, c.Listen))
	listed := false
	for _, r := range append([]string{own}, c.Routes...) {
		host, _, err := net.SplitHostPort(broker.PlainAddress(r))
		if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
			return false
		}
	}
	for _, r := range c.Routes {
		listed = listed || broker.PlainAddress(r) == own
	}
	return !listed
}

// even is a note of replicas that cost more and survive no more.
func (c *Config) even() []string {
	if c.Replicas == 0 || c.Replicas%2 == 1 {
		return nil
	}
	return []string{fmt.Sprintf("replicas is %d: a majority of them is needed, so they go on without as many servers as %d do: use 3 or 5", c.Replicas, c.Replicas-1)}
}

// Validate returns what is wrong with how settings go together, and with the files that they
// name, as [Faults].
func (c *Config) Validate() error { return c.check().err() }

// ValidateClient returns what is wrong with how a client is connected, as [Faults]: with
// the namespace, credentials and certificates, whatever is said of a node beside them.
func (c *Config) ValidateClient() error { return c.checkClient().err() }

// checkClient is check, of a client.
func (c *Config) checkClient() Faults {
	k := checker{c: c}
	k.credentials()
	k.tls("tls", c.TLS)
	return k.faults
}

// minServers is how many servers a cluster has at least: of two, neither goes on alone.
const minServers = 3

// check says what is wrong with how settings go together.
func (c *Config) check() (faults Faults) {
	k := checker{c: c}
	k.servers()
	k.credentials()
	k.cluster()
	k.replicas()
	k.tls("tls", c.TLS)
	k.tls("cluster.tls", c.Cluster.TLS)
	k.kept()
	k.apart()
	return k.faults
}

// A checker collects what is wrong with a configuration.
type checker struct {
	c      *Config
	faults Faults
}

// has returns the text of a setting, and whether somebody has set it.
func (k *checker) has(key string) (text string, ok bool) {
	text = settingOf(key).get(k.c)
	return text, text != "" && k.c.origins[key] != byDefault
}

func (k *checker) say(key, form string, args ...any) {
	f := Fault{Where: k.c.origins[key], Key: key, Wrong: fmt.Sprintf(form, args...)}
	if s := settingOf(key); !s.secret && key != "url" {
		f.Found = s.get(k.c)
	}
	k.faults = append(k.faults, f)
}

// also names another setting, and where it was set.
func (k *checker) also(key string) string {
	if where := k.c.origins[key]; where != "" && where != byDefault {
		return key + " (" + where + ")"
	}
	return key
}

// servers are either embedded or somebody else's.
func (k *checker) servers() {
	if k.c.URL != "" {
		for _, key := range []string{"dir", "listen", "cluster.listen", "cluster.routes", "cluster.advertise", "cluster.name", "cluster.user", "cluster.password", "cluster.password_file", "cluster.tls.ca", "cluster.tls.cert", "cluster.tls.key", "sync_always"} {
			if _, ok := k.has(key); ok {
				k.say(key, "it is of an embedded NATS server, and there is none with %s; leave one of them out", k.also("url"))
			}
		}
		return
	}
	for _, key := range []string{"credentials.file", "credentials.user", "credentials.password", "credentials.password_file", "credentials.token", "credentials.token_file", "credentials.nkey_file", "tls.ca", "tls.cert", "tls.key"} {
		if _, ok := k.has(key); ok {
			k.say(key, "it is for the connection to your own NATS servers; name them by url, or leave it out")
		}
	}
}

// credentials are of one sort.
func (k *checker) credentials() {
	cred := &k.c.Credentials
	first := ""
	for _, key := range []string{"credentials.file", "credentials.user", "credentials.token", "credentials.token_file", "credentials.nkey_file"} {
		if _, ok := k.has(key); !ok {
			continue
		}
		if first != "" {
			k.say(key, "NATS is told one thing, and %s is set as well; leave one of them out", k.also(first))
			continue
		}
		first = key
	}
	k.password("credentials", cred.User, cred.Password, cred.PasswordFile)
	k.readable("credentials.token_file")
	if text, ok := k.readable("credentials.nkey_file"); ok && !hasSeed(text) {
		k.say("credentials.nkey_file", "the file holds no seed of an nkey, a line that begins with SU; 'nk -gen user' makes one")
	}
	if text, ok := k.readable("credentials.file"); ok && !(hasJWT(text) && hasSeed(text)) {
		k.say("credentials.file", "the file holds no credentials: use one with a JWT, after -----BEGIN NATS USER JWT-----, and the seed of its nkey, as 'nsc generate creds' makes it; a password or a token has a setting of its own")
	}
}

// password checks a user and the password that goes with it.
func (k *checker) password(group, user, password, file string) {
	switch {
	case password != "" && file != "":
		k.say(group+".password_file", "the password is set, too, by %s; leave one of them out", k.also(group+".password"))
	case user != "" && password == "" && file == "":
		k.say(group+".user", "it has no password: set %s.password_file, or $%s", group, settingOf(group+".password").envName())
	case user == "" && (password != "" || file != ""):
		key := group + ".password"
		if password == "" {
			key += "_file"
		}
		k.say(key, "whose it is is not said; set %s.user", group)
	}
	k.readable(group + ".password_file")
}

// hasJWT reports whether a file holds a JWT, which has three parts.
func hasJWT(text string) bool {
	token, err := nkeys.ParseDecoratedJWT([]byte(text))
	return err == nil && strings.Count(token, ".") == 2
}

// hasSeed reports whether a file holds the seed of a user's nkey.
func hasSeed(text string) bool {
	pair, err := nkeys.ParseDecoratedUserNKey([]byte(text))
	if err == nil {
		pair.Wipe()
	}
	return err == nil
}

// readable checks that the file that a setting names holds something, and returns that.
func (k *checker) readable(key string) (text string, ok bool) {
	path, ok := k.has(key)
	if !ok {
		return "", false
	}
	text, err := ReadSecret(path)
	if err != nil {
		k.say(key, "%v", err)
	}
	return text, err == nil
}

// ReadSecret returns what a file holds, without the line's end.
func ReadSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", reason(err))
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", errors.New("the file is empty")
	}
	return text, nil
}

// reason is an error of the file system without the path.
func reason(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// cluster is described as a whole, or not at all.
func (k *checker) cluster() {
	own := &k.c.Cluster
	if own.Listen == "" {
		if k.c.origins["cluster.listen"] != "" {
			return // what is wrong with it was said
		}
		for _, s := range settings {
			if _, ok := k.has(s.key); ok && strings.HasPrefix(s.key, "cluster.") && k.c.URL == "" {
				k.say(s.key, "there is no cluster: cluster.listen says where the other servers reach this one, HOST:PORT")
			}
		}
		return
	}
	k.password("cluster", own.User, own.Password, own.PasswordFile)
	switch n := len(own.Routes); {
	case n == 0:
		k.say("cluster.listen", "cluster.routes is missing: list where all servers of the cluster listen for each other, this one included")
	case n < minServers:
		k.say("cluster.routes", "it lists %d servers, and it takes %d or more: two of three are a majority; this one is listed, too", n, minServers)
	}
	if first, second, ok := (&broker.Cluster{Listen: own.Listen, Advertise: own.Advertise, Routes: own.Routes}).ListedTwice(); ok {
		k.say("cluster.routes", "%s and %s are the same server; list each once, as the others reach it", first, second)
	}
	if len(own.Routes) >= minServers && own.unlisted() {
		k.say("cluster.listen", "%s does not list it: every server is there, this one too, as the others reach it (cluster.advertise, if that is another address)", k.also("cluster.routes"))
	}
	if k.c.Durability == broker.Process {
		k.say("durability", "it is of one server; a cluster has quorum: on a majority of servers before it counts, or disk: and fsynced there")
	}
}

func (k *checker) replicas() {
	c := k.c
	if c.SyncAlways && c.URL == "" && c.Durability != broker.Disk {
		k.say("sync_always", "it is of durability disk, and not of %s: %s; leave one of them out", c.Durability, k.also("durability"))
	}
	switch n := c.Replicas; {
	case c.Durability == broker.Quorum && c.URL == "" && !c.Clustered():
		k.say("durability", "it takes three servers: form a cluster (cluster.listen and cluster.routes), or connect to one (url); one embedded server has disk or process")
	case c.Durability == broker.Quorum && n > 0 && n < minServers:
		k.say("replicas", "durability quorum takes %d or 5", minServers)
	case n > 1 && c.URL == "" && !c.Clustered():
		k.say("replicas", "one embedded server holds 1; form a cluster (cluster.listen and cluster.routes), or connect to one (url)")
	case c.Clustered() && n > 0 && n < minServers:
		k.say("replicas", "a cluster of nodes takes %d or 5: with 1 a server that is lost takes messages along, and of 2 neither goes on without the other; leave it out for %[1]d", minServers)
	case c.Clustered() && len(c.Cluster.Routes) > 0 && n > len(c.Cluster.Routes):
		k.say("replicas", "the cluster has %d servers: %s lists them", len(c.Cluster.Routes), k.also("cluster.routes"))
	}
}

// tls checks the files of certificates.
func (k *checker) tls(group string, t TLS) {
	if t.CA != "" {
		if _, err := pool(t.CA); err != nil {
			k.say(group+".ca", "%v", err)
		}
	}
	switch {
	case t.Cert != "" && t.Key == "":
		k.say(group+".cert", "the key that goes with it is missing; set %s.key", group)
	case t.Cert == "" && t.Key != "":
		k.say(group+".key", "the certificate that goes with it is missing; set %s.cert", group)
	case t.Cert != "":
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			k.say(group+".cert", "it and %s do not go together: %v", k.also(group+".key"), err)
		}
	}
	if group == "cluster.tls" && t.CA != "" && t.Cert == "" {
		k.say(group+".ca", "each server of a cluster has a certificate of its own; set %s.cert and %[1]s.key", group)
	}
}

// pool reads certificates.
func pool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", reason(err))
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate; use PEM, which begins with -----BEGIN CERTIFICATE-----", filepath.Base(path))
	}
	return p, nil
}

// Config returns what the files say, for servers that show each other certificates; nil if there
// are none.
func (t TLS) Config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert}
	if t.CA != "" {
		p, err := pool(t.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates of %s: %w", t.CA, err)
		}
		cfg.RootCAs, cfg.ClientCAs = p, p
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate of %s: %w", t.Cert, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// kept checks that nothing is kept for less time than its message ID is remembered.
func (k *checker) kept() {
	retention := k.c.Retention
	if retention == 0 {
		retention = defaultRetention
	}
	for name, d := range k.c.Keep {
		if d < retention {
			k.say("keep", "%s runs are kept for the retention time at least, which is %s", name, spanText(retention))
		}
	}
}

// apart checks that health has an address of its own: the node would find it taken by itself.
func (k *checker) apart() {
	for _, key := range []string{"listen", "cluster.listen"} {
		if at, ok := k.has(key); ok && k.c.Health != "" && broker.PlainAddress(at) == broker.PlainAddress(k.c.Health) {
			k.say("health", "%s is the same address; give each a port of its own", k.also(key))
		}
	}
}
