package perdure_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/perdure/perdure"
	"github.com/perdure/perdure/broker/brokertest"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
)

// write writes a file of the test's.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// works opens a node by a configuration, and has it do something.
func works(t *testing.T, cfg *config.Config) {
	t.Helper()
	ctx, stop := context.WithCancel(testContext(t))
	node, err := perdure.OpenConfig(ctx, cfg, perdure.Host(greetKind()), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	got, err := perdure.Call(ctx, node.Client(), greet.At("w"), "w")
	if err != nil || got != "Hello, w!" {
		t.Errorf("it says %q (%v)", got, err)
	}
	client, err := perdure.DialConfig(ctx, cfg, perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := perdure.Call(ctx, client, greet.At("c"), "c"); err != nil || got != "Hello, c!" {
		t.Errorf("to a client of the same configuration it says %q (%v)", got, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	findings := perdure.Doctor(ctx, cfg)
	for _, f := range findings {
		if f.Status == perdure.CheckFail {
			t.Errorf("the doctor says %+v", f)
		}
	}
	if last := findings[len(findings)-1]; !strings.HasSuffix(last.Found, "owns 64 of 64") {
		t.Errorf("the doctor says at last %+v", last)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func server(t *testing.T, conf string) string {
	t.Helper()
	return brokertest.Server(t, func(c *brokertest.ServerConfig) { c.Conf = conf }).URL()
}

func TestOpenConfig_SaysWhoItIs(t *testing.T) {
	t.Parallel()
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		url := server(t, `authorization: {user: ann, password: pw}`)
		works(t, &config.Config{URL: url, Credentials: config.Credentials{User: "ann", Password: "pw"}})
		works(t, &config.Config{URL: url, Credentials: config.Credentials{User: "ann", PasswordFile: write(t, "password", "pw\n")}})
	})
	t.Run("token", func(t *testing.T) {
		t.Parallel()
		url := server(t, `authorization: {token: secret}`)
		works(t, &config.Config{URL: url, Credentials: config.Credentials{Token: "secret"}})
		works(t, &config.Config{URL: url, Credentials: config.Credentials{TokenFile: write(t, "token", "secret\n")}})
	})
	t.Run("nkey", func(t *testing.T) {
		t.Parallel()
		user := must(nkeys.CreateUser())
		url := server(t, fmt.Sprintf(`authorization: {users: [{nkey: %s}]}`, must(user.PublicKey())))
		works(t, &config.Config{URL: url, Credentials: config.Credentials{NKeyFile: write(t, "seed", string(must(user.Seed())))}})
	})
	t.Run("credentials", func(t *testing.T) {
		t.Parallel()
		conf, creds := operator(t)
		works(t, &config.Config{URL: server(t, conf), Credentials: config.Credentials{File: write(t, "node.creds", creds)}})
	})
	t.Run("certificate", func(t *testing.T) {
		t.Parallel()
		ca, cert, key := certificates(t)
		url := server(t, fmt.Sprintf(`tls: {ca_file: %q, cert_file: %q, key_file: %q, verify: true}`, ca, cert, key))
		works(t, &config.Config{URL: strings.Replace(url, "nats://", "tls://", 1), TLS: config.TLS{CA: ca, Cert: cert, Key: key}})
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// operator is the configuration of a server in operator mode, and the credentials of a
// user of its one account.
func operator(t *testing.T) (conf, creds string) {
	t.Helper()
	op, sys, acc, user := must(nkeys.CreateOperator()), must(nkeys.CreateAccount()), must(nkeys.CreateAccount()), must(nkeys.CreateUser())
	signed := func(kp nkeys.KeyPair, claim func(subject string) jwt.Claims, by nkeys.KeyPair) (subject, token string) {
		subject = must(kp.PublicKey())
		return subject, must(claim(subject).Encode(by))
	}
	account := func(subject string) jwt.Claims {
		c := jwt.NewAccountClaims(subject)
		if subject == must(acc.PublicKey()) {
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1, MaxAckPending: -1}
		}
		return c
	}
	sysID, sysToken := signed(sys, account, op)
	accID, accToken := signed(acc, account, op)
	_, opToken := signed(op, func(s string) jwt.Claims { c := jwt.NewOperatorClaims(s); c.SystemAccount = sysID; return c }, op)
	_, userToken := signed(user, func(s string) jwt.Claims { return jwt.NewUserClaims(s) }, acc)
	conf = fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {%s: %s, %s: %s}\n", opToken, sysID, sysID, sysToken, accID, accToken)
	return conf, string(must(jwt.FormatUserConfig(userToken, must(user.Seed()))))
}

// certificates makes an authority, and a certificate of this machine that it has signed,
// for servers and clients.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	sign := func(c, by *x509.Certificate, own, parent *ecdsa.PrivateKey) string {
		der := must(x509.CreateCertificate(rand.Reader, c, by, &own.PublicKey, parent))
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	until := time.Now().Add(time.Hour)
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	own := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.MarshalECPrivateKey(own))
	return write(t, "ca.pem", sign(root, root, caKey, caKey)), write(t, "cert.pem", sign(leaf, root, own, caKey)),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
}

// What the guides allow a node, a client, and who takes a backup and restores it, is enough,
// and a node of it is what the doctor calls right.
func TestOpenConfig_PermissionsOfTheGuideAreEnough(t *testing.T) {
	t.Parallel()
	url := server(t, `accounts { A { jetstream: enabled, users: [
		{user: node, password: pw, permissions: {
			publish: {allow: ["shop.>", "$KV.shop_state.>", "$KV.shop_cluster.>", "$JS.API.>", "$JS.ACK.>", "_INBOX.>"]},
			subscribe: {allow: ["shop.>", "$SRV.>", "_INBOX.>"]}}},
		{user: client, password: pw, permissions: {
			publish: {allow: ["shop.task.local.>", "shop.blob.>", "shop.api.>", "$JS.API.>"]},
			subscribe: {allow: ["_INBOX.>", "shop.done.>"]}}},
		{user: backup, password: pw, permissions: {
			publish: {allow: ["shop.task.local.>", "shop.blob.>", "shop.api.>", "$JS.API.>", "shop.node.*", "shop.node.*.hold"]},
			subscribe: {allow: ["_INBOX.>", "shop.done.>"]}}}] } }`)
	other := server(t, `accounts { A { jetstream: enabled, users: [
		{user: restore, password: pw, permissions: {
			publish: {allow: ["shop.>", "$KV.shop_state.>", "$KV.shop_cluster.>", "$JS.API.>", "$JS.ACK.>", "_INBOX.>", "$JS.SNAPSHOT.RESTORE.>"]},
			subscribe: {allow: ["shop.>", "$SRV.>", "_INBOX.>"]}}}] } }`)
	cfg := &config.Config{Namespace: "shop", URL: url, Credentials: config.Credentials{User: "node", Password: "pw"}}
	works(t, cfg)
	ctx, stop := context.WithCancel(testContext(t))
	node, err := perdure.OpenConfig(ctx, cfg, perdure.Host(greetKind()), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	<-node.Ready()
	c, err := perdure.Dial(ctx, url, perdure.Namespace("shop"), perdure.NATSOptions(nats.UserInfo("client", "pw")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := perdure.Call(ctx, c, greet.At("x"), "x")
	if err != nil || got != "Hello, x!" {
		t.Errorf("it says %q (%v)", got, err)
	}
	if info, err := c.Get(ctx, "greet/x/x"); err != nil || info.Status != "completed" {
		t.Errorf("the run is %+v (%v)", info, err)
	}
	long := strings.Repeat("x", 3<<20)
	if got, err := perdure.Call(ctx, c, greet.At("long"), long); err != nil || got != "Hello, "+long+"!" {
		t.Errorf("with a large input it says %d bytes (%v)", len(got), err)
	}
	c.Close()
	who := func(user string) perdure.Option { return perdure.NATSOptions(nats.UserInfo(user, "pw")) }
	if c, err = perdure.Dial(ctx, url, perdure.Namespace("shop"), who("backup")); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := c.Backup(ctx, &file); err != nil {
		t.Errorf("backup: %v", err)
	}
	c.Close()
	if err := perdure.Restore(ctx, other, &file, perdure.Namespace("shop"), who("restore"), perdure.Logger(silent)); err != nil {
		t.Errorf("restore: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// OpenConfig refuses what cannot work before it begins, and what the code says is stronger.
func TestOpenConfig_RefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	_, err := perdure.OpenConfig(testContext(t), &config.Config{Dir: dir, Durability: perdure.Quorum, Replicas: 3}, perdure.Host(greetKind()))
	var faults config.Faults
	if !errors.As(err, &faults) || !errors.Is(err, durable.ErrInvalid) || len(faults) != 1 {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it has begun")
	}
	node, err := perdure.OpenConfig(testContext(t), &config.Config{Dir: dir, Durability: perdure.Process, Namespace: "weak"}, perdure.Host(greetKind()), perdure.Namespace("strong"), perdure.Logger(silent), perdure.Listen("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if node.Durability() != perdure.Process || node.URL() == "" {
		t.Errorf("the node has durability %s, at %q", node.Durability(), node.URL())
	}
	if _, err := perdure.Dial(testContext(t), node.URL(), perdure.Namespace("strong"), perdure.Logger(silent)); err != nil {
		t.Error(err)
	}
}

// A client is configured by what a node has, or by less.
func TestDialConfig_TakesWhatANodeHas(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	node, err := perdure.OpenConfig(ctx, &config.Config{Dir: filepath.Join(t.TempDir(), "data"), Durability: perdure.Process, Listen: "127.0.0.1:0"}, perdure.Host(greetKind()), perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	at := strings.TrimPrefix(node.URL(), "nats://")
	// that another process has the directory, and that it takes no credentials, does not matter
	c, err := perdure.DialConfig(ctx, &config.Config{Dir: "elsewhere", Listen: at, SyncAlways: true, MaxRuns: 3}, perdure.Logger(silent))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, cfg := range []*config.Config{{}, {Dir: "data"}, {Listen: "127.0.0.1:0"}} {
		if _, err := perdure.DialConfig(ctx, cfg); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "set url") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	var faults config.Faults
	_, err = perdure.DialConfig(ctx, &config.Config{URL: node.URL(), TLS: config.TLS{CA: "none.pem"}, Credentials: config.Credentials{User: "ann"}})
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Errorf("the error is %v", err)
	}
}

// The doctor sees nodes that do not do what they should.
func TestDoctor_LooksAtTheNodes(t *testing.T) {
	t.Parallel()
	url := server(t, "")
	cfg := &config.Config{URL: url}
	found := func() map[string]perdure.CheckResult {
		all := map[string]perdure.CheckResult{}
		for _, f := range perdure.Doctor(testContext(t), cfg) {
			all[f.Check] = f
		}
		return all
	}
	ctx, stop := context.WithCancel(testContext(t))
	node, err := perdure.Connect(ctx, url, perdure.Host(greetKind()), perdure.Logger(silent), perdure.Name("alder"))
	if err != nil {
		t.Fatal(err)
	}
	if f := found()["nodes"]; f.Status != perdure.CheckFail || f.Found != "no node is alive: nothing runs" {
		t.Errorf("before the node runs: %+v", f)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	<-node.Ready()
	running(t, url, perdure.Host(accountKind()), perdure.Name("birch"))
	for end := time.Now().Add(testWait); ; { // partitions move while nodes come
		all := found()
		if f := all["partitions of pool default"]; f.Status == perdure.CheckOK {
			break
		} else if time.Now().After(end) {
			t.Fatalf("at last: %+v", f)
		}
	}
	all := found()
	if f := all["nodes"]; f.Status != perdure.CheckOK || !strings.HasPrefix(f.Found, "2 alive: alder (default), birch (default)") {
		t.Errorf("%+v", f)
	}
	if f := all["kinds of pool default"]; f.Status != perdure.CheckWarn || !strings.Contains(f.Do, "perdure.Pool") {
		t.Errorf("%+v", f)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
