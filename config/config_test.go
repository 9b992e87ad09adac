package config_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/perdure/perdure/broker"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
)

// load loads what a file, flags and an environment say, in a directory of its own.
func load(t *testing.T, file string, args, environ []string) (*config.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		if err := os.WriteFile("node.yaml", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", "node.yaml"}, args...)
	}
	fs := flag.NewFlagSet("node", flag.ContinueOnError)
	source := config.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	source.Environ = append([]string{}, environ...)
	return source.Load()
}

// own compares what is exported.
var own = cmpopts.IgnoreUnexported(config.Config{})

func TestLoad_TheEnvironmentIsStrongerThanFlagsAndTheseThanTheFile(t *testing.T) {
	got, err := load(t, `
namespace: file
pool: file
name: file
durability: process
keep: {failed: 30d, cancelled: 48h}
`, []string{"--namespace", "flag", "--pool", "flag", "--retention", "1d12h0m"}, nil)
	if err == nil || !strings.Contains(err.Error(), `--retention: retention is "1d12h0m": use a time with its unit, such as 30d, 36h`) {
		t.Errorf("the error is %v", err)
	}
	if got.Namespace != "flag" {
		t.Errorf("what is right is %+v", got)
	}
	got, err = load(t, "namespace: file\npool: file\nname: file\ndurability: process\nkeep: {failed: 30d, cancelled: 48h}\npayload_cap: 1MiB\nmax_crashes: 0\n",
		[]string{"--namespace", "flag", "--pool", "flag", "--grace", "1m"}, []string{"PERDURE_NAMESPACE=env", "PERDURE_LOG_FORMAT=json", "PERDURE_NAME=", "PERDURE_PORT=tcp://10.0.0.1:4222", "PERDURE_POOLS=x"})
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Namespace: "env", Pool: "flag", Name: "file", Durability: broker.Process, Dir: config.DefaultDir,
		Keep:  map[durable.Outcome]time.Duration{durable.Failed: 720 * time.Hour, durable.Cancelled: 48 * time.Hour},
		Grace: time.Minute, PayloadCap: 1 << 20, MaxCrashes: -1, Log: config.Log{Format: "json"},
	}
	if diff := cmp.Diff(want, got, own); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	notes := []string{
		`$PERDURE_NAMESPACE is "env", and stronger than --namespace, which is "flag"`,
		"$PERDURE_POOLS is no setting; is $PERDURE_POOL meant?",
		"listen is not set, so no command as 'perdure runs', and no other program, reaches this node: set it to HOST:PORT, e.g. 127.0.0.1:4222",
	}
	if diff := cmp.Diff(notes, got.Notes()); diff != "" {
		t.Errorf("the notes (-want +got)\n%s", diff)
	}
	from := map[string]string{}
	for _, e := range got.Entries() {
		from[e.Key] = e.From
	}
	for key, want := range map[string]string{"namespace": "$PERDURE_NAMESPACE", "pool": "--pool", "name": "node.yaml:3", "keep": "node.yaml:5", "retention": "default"} {
		if from[key] != want {
			t.Errorf("%s is said to come from %q, want %q", key, from[key], want)
		}
	}
}

// all has each setting, as the file, a flag and a variable have it; files are there.
var all = []struct{ key, value, flag string }{
	{"namespace", "shop", "namespace"},
	{"name", "alder", "name"},
	{"pool", "birch", "pool"},
	{"program_version", "v7", "program-version"},
	{"durability", "process", "durability"},
	{"sync_always", "true", "sync-always"},
	{"dir", "data", "dir"},
	{"listen", "127.0.0.1:4222", "listen"},
	{"url", "nats://127.0.0.1:4222", "url"},
	{"credentials.file", "secret", "credentials-file"},
	{"credentials.user", "ann", "credentials-user"},
	{"credentials.password", "s3cret", ""},
	{"credentials.password_file", "secret", "credentials-password-file"},
	{"credentials.token", "t0ken", ""},
	{"credentials.token_file", "secret", "credentials-token-file"},
	{"credentials.nkey_file", "secret", "credentials-nkey-file"},
	{"tls.ca", "ca.pem", "tls-ca"},
	{"tls.cert", "cert.pem", "tls-cert"},
	{"tls.key", "key.pem", "tls-key"},
	{"replicas", "3", "replicas"},
	{"cluster.listen", "127.0.0.1:6222", "cluster"},
	{"cluster.routes", "a:1,b:2,c:3", "routes"},
	{"cluster.advertise", "127.0.0.1:6223", "cluster-advertise"},
	{"cluster.name", "grove", "cluster-name"},
	{"cluster.user", "ann", "cluster-user"},
	{"cluster.password", "s3cret", ""},
	{"cluster.password_file", "secret", "cluster-password-file"},
	{"cluster.tls.ca", "ca.pem", "cluster-tls-ca"},
	{"cluster.tls.cert", "cert.pem", "cluster-tls-cert"},
	{"cluster.tls.key", "key.pem", "cluster-tls-key"},
	{"retention", "48h", "retention"},
	{"keep", "failed=720h", "keep"},
	{"grace", "1m30s", "grace"},
	{"suspend_after", "500ms", "suspend-after"},
	{"max_runs", "7", "max-runs"},
	{"max_waiting", "8", "max-waiting"},
	{"payload_cap", "1GiB", "payload-cap"},
	{"max_crashes", "0", "max-crashes"},
	{"capacity", "200", "capacity"},
	{"health", "127.0.0.1:8080", "health"},
	{"log.level", "debug", "log-level"},
	{"log.format", "json", "log-format"},
}

// Each setting has a key, a flag but for secrets, and a variable, which say the same.
func TestLoad_EachSettingHasThreeNames(t *testing.T) {
	fs := flag.NewFlagSet("node", flag.ContinueOnError)
	config.Flags(fs)
	flags := map[string]bool{"config": true}
	fs.VisitAll(func(f *flag.Flag) { flags[f.Name] = true })
	for _, s := range all {
		file := s.value
		if s.key == "keep" {
			file = "{failed: 720h}"
		}
		groups := strings.Split(s.key, ".")
		var head strings.Builder
		for i, g := range groups {
			head.WriteString(strings.Repeat("  ", i) + g + ":")
			if i < len(groups)-1 {
				head.WriteString("\n")
			}
		}
		env := "PERDURE_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_")) + "=" + s.value
		ways := map[string]func() (*config.Config, error){
			"file": func() (*config.Config, error) { return load(t, head.String()+" "+file, nil, nil) },
			"env":  func() (*config.Config, error) { return load(t, "", nil, []string{env}) },
		}
		if s.flag != "" {
			ways["flag"] = func() (*config.Config, error) { return load(t, "", []string{"--" + s.flag + "=" + s.value}, nil) }
			if !flags[s.flag] {
				t.Errorf("there is no flag --%s", s.flag)
			}
			delete(flags, s.flag)
		}
		for way, load := range ways {
			cfg, err := load() // what others of its group lack is said, too
			var faults config.Faults
			errors.As(err, &faults)
			for _, f := range faults {
				if strings.Contains(f.Wrong, "there is no such") || f.Key == s.key && strings.HasPrefix(f.Wrong, "use ") {
					t.Errorf("%s by %s: %v", s.key, way, f)
				}
			}
			found := ""
			for _, e := range cfg.Entries() {
				if e.Key == s.key && e.From != "default" {
					found = e.Value
				}
			}
			want := s.value
			if s.flag == "" {
				want = "***"
			}
			if found != want {
				t.Errorf("%s by %s is %q, want %q", s.key, way, found, want)
			}
		}
	}
	if len(flags) != 1 {
		t.Errorf("flags of settings that this test does not know: %v", flags)
	}
}

// What is printed is a file that says the same, but for secrets, which nothing prints.
func TestPrint_IsAFileThatSaysTheSame(t *testing.T) {
	cfg, err := load(t, `
name: "007"
url: nats://ann:hidden@127.0.0.1:4222,nats://tok3n@127.0.0.2,127.0.0.3
credentials: {user: ann, password: hidden}
retention: 30d
keep: {failed: 60d, completed: 31d}
max_runs: 1_000
log: {level: "error"}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := cfg.Print(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String() + fmt.Sprint(cfg.Entries())
	for _, secret := range []string{"hidden", "tok3n"} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is printed:\n%s", text)
		}
	}
	again, err := load(t, out.String(), nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	cfg.URL, cfg.Credentials.Password = again.URL, again.Credentials.Password
	cfg.Namespace, cfg.Pool, cfg.Grace, cfg.SuspendAfter, cfg.PayloadCap, cfg.MaxCrashes, cfg.Capacity, cfg.Log.Format = "perdure", "default", 10*time.Second, 30*time.Second, 64<<20, 5, 100, "text"
	if diff := cmp.Diff(cfg, again, own); diff != "" {
		t.Errorf("(-set +printed)\n%s\n%s", diff, &out)
	}
}

// Everything that is wrong is said at once, with where it is.
func TestLoad_SaysEverythingThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		args []string
		env  []string
		want string
	}{
		"keys": {
			file: "namspace: a\nmax_run: 1\nwhatever: 1\ncluster:\n  rotes: [a:1]\n  max_runs: 5\n  tls:\n    cart: x\nroutes: [a:1]\n",
			want: `node.yaml:1: namspace: there is no such key; is "namespace" meant?
node.yaml:2: max_run: there is no such key; is "max_runs" meant?
node.yaml:3: whatever: there is no such key; the keys here are capacity, cluster, credentials, dir, durability, grace, health, keep, listen, log, max_crashes, max_runs, max_waiting, name, namespace, payload_cap, pool, program_version, replicas, retention, suspend_after, sync_always, tls, url
node.yaml:5: cluster.rotes: there is no such key; is "cluster.routes" meant?
node.yaml:6: cluster.max_runs: there is no such key here; is "max_runs" meant?
node.yaml:8: cluster.tls.cart: there is no such key; is "cluster.tls.cert" meant?
node.yaml:9: routes: there is no such key here; is "cluster.routes" meant?`,
		},
		"values": {
			file: "namespace: a b\ndurability: disc\nlisten: 4222\nreplicas: 6\ngrace: 10\npayload_cap: lots\nsync_always: maybe\nkeep: {ended: 3d}\nlog: {level: warning}\nmax_runs: [1]\nname:\nurl: http://u:hidden@h\n",
			want: `node.yaml:1: namespace is "a b": use letters, digits, '-' and '_'
node.yaml:2: durability is "disc": use disk, process or quorum; is "disk" meant?
node.yaml:3: listen is "4222": use HOST:PORT, e.g. 127.0.0.1:4222, or [::1]:4222
node.yaml:4: replicas is "6": use a whole number from 1 to 5
node.yaml:5: grace is "10": use a time with its unit, such as 30d, 36h, 90m, 10s or 500ms
node.yaml:6: payload_cap is "lots": use a size such as 64MiB, 1GiB or 1048576, at least 1 byte
node.yaml:7: sync_always is "maybe": use true or false
node.yaml:8: keep is "ended=3d": how a run ends is not "ended"; use completed, failed or cancelled
node.yaml:9: log.level is "warning": use debug, info, warn or error
node.yaml:10: max_runs: it has one value, and no list or keys below it
node.yaml:11: name: it has no value; leave the line out, or give it one
node.yaml:12: url: the address of a NATS server begins with "http://"; use nats://, tls://, ws://, wss://, e.g. nats://127.0.0.1:4222`,
		},
		"form": {
			file: "cluster: secretive\nkeep: [failed]\nmax_runs: 1\nmax_runs: 2\n---\nname: b\n",
			want: `node.yaml:1: cluster: use KEY: VALUE, a line each
node.yaml:2: keep: use NAME: VALUE, a line each, below it
node.yaml:4: max_runs: it is there twice, first in line 3; leave one
node.yaml:5: ---: a file holds one configuration, and here begins another one; leave one`,
		},
		"no YAML":   {file: "name: a\n\tpool: b\n", want: "node.yaml:2: the file: it is not YAML: found a tab character that violates indentation"},
		"no map":    {file: "- a\n", want: "node.yaml:1: the file: use KEY: VALUE, a line each"},
		"no file":   {args: []string{"--config", "none.yaml"}, want: `--config: config is "none.yaml": it cannot be read: no such file or directory`},
		"all three": {file: "max_runs: a", args: []string{"--max-runs", "b"}, env: []string{"PERDURE_MAX_RUNS=c"}, want: "node.yaml:1: max_runs is \"a\": use a whole number, at least 1\n--max-runs: max_runs is \"b\": use a whole number, at least 1\n$PERDURE_MAX_RUNS: max_runs is \"c\": use a whole number, at least 1"},
		"servers": {
			file: "url: nats://127.0.0.1\ndir: d\n", args: []string{"--cluster", "127.0.0.1:1"},
			want: `node.yaml:2: dir is "d": it is of an embedded NATS server, and there is none with url (node.yaml:1); leave one of them out
--cluster: cluster.listen is "127.0.0.1:1": it is of an embedded NATS server, and there is none with url (node.yaml:1); leave one of them out
--cluster: cluster.listen is "127.0.0.1:1": cluster.routes is missing: list where all servers of the cluster listen for each other, this one included`,
		},
		"who": {
			file: "url: nats://127.0.0.1\ncredentials:\n  file: none\n  user: ann\n  token: hidden\n",
			want: `node.yaml:4: credentials.user is "ann": NATS is told one thing, and credentials.file (node.yaml:3) is set as well; leave one of them out
node.yaml:5: credentials.token: NATS is told one thing, and credentials.file (node.yaml:3) is set as well; leave one of them out
node.yaml:4: credentials.user is "ann": it has no password: set credentials.password_file, or $PERDURE_CREDENTIALS_PASSWORD
node.yaml:3: credentials.file is "none": the file cannot be read: no such file or directory`,
		},
		"nobody's": {
			env:  []string{"PERDURE_CREDENTIALS_PASSWORD=hidden"},
			want: "$PERDURE_CREDENTIALS_PASSWORD: credentials.password: it is for the connection to your own NATS servers; name them by url, or leave it out\n$PERDURE_CREDENTIALS_PASSWORD: credentials.password: whose it is is not said; set credentials.user",
		},
		"cluster": {
			file: "durability: process\nreplicas: 5\ncluster:\n  listen: a:1\n  routes: [a:1, b:1, b:1]\n",
			want: `node.yaml:5: cluster.routes is "a:1,b:1,b:1": b:1 and b:1 are the same server; list each once, as the others reach it
node.yaml:1: durability is "process": it is of one server; a cluster has quorum: on a majority of servers before it counts, or disk: and fsynced there
node.yaml:2: replicas is "5": the cluster has 3 servers: cluster.routes (node.yaml:5) lists them`,
		},
		"fsync":            {args: []string{"--sync-always", "--durability", "process"}, want: `--sync-always: sync_always is "true": it is of durability disk, and not of process: durability (--durability); leave one of them out`},
		"alone":            {args: []string{"--durability", "quorum", "--cluster-user", "ann"}, want: "--cluster-user: cluster.user is \"ann\": there is no cluster: cluster.listen says where the other servers reach this one, HOST:PORT\n--durability: durability is \"quorum\": it takes three servers: form a cluster (cluster.listen and cluster.routes), or connect to one (url); one embedded server has disk or process"},
		"replicas":         {args: []string{"--replicas", "3"}, want: `--replicas: replicas is "3": one embedded server holds 1; form a cluster (cluster.listen and cluster.routes), or connect to one (url)`},
		"kept":             {file: "retention: 48h\nkeep: {failed: 36h}\n", want: `node.yaml:2: keep is "failed=36h": failed runs are kept for the retention time at least, which is 48h`},
		"tls":              {file: "url: tls://h\ntls: {ca: node.yaml, cert: none.pem}\n", want: "node.yaml:2: tls.ca is \"node.yaml\": node.yaml holds no certificate; use PEM, which begins with -----BEGIN CERTIFICATE-----\nnode.yaml:2: tls.cert is \"none.pem\": the key that goes with it is missing; set tls.key"},
		"two replicas":     {args: []string{"--cluster", "a:1", "--routes", "a:1,b:1,c:1", "--replicas", "2"}, want: `--replicas: replicas is "2": a cluster of nodes takes 3 or 5: with 1 a server that is lost takes messages along, and of 2 neither goes on without the other; leave it out for 3`},
		"itself twice":     {args: []string{"--cluster", "127.0.0.1:6222", "--routes", "localhost:6222,127.0.0.1:6222,127.0.0.1:6223"}, want: `--routes: cluster.routes is "localhost:6222,127.0.0.1:6222,127.0.0.1:6223": localhost:6222 and 127.0.0.1:6222 are the same server; list each once, as the others reach it`},
		"advertised twice": {args: []string{"--cluster", "10.0.0.1:6222", "--cluster-advertise", "Shop-1:6222", "--routes", "10.0.0.1:6222,shop-1.:6222,shop-2:6222"}, want: `--routes: cluster.routes is "10.0.0.1:6222,shop-1.:6222,shop-2:6222": 10.0.0.1:6222 and shop-1.:6222 are the same server; list each once, as the others reach it`},
		"not itself":       {args: []string{"--cluster", "[::1]:6222", "--routes", "localhost:6223,127.0.0.1:6224,127.0.0.1:6225"}, want: `--cluster: cluster.listen is "[::1]:6222": cluster.routes (--routes) does not list it: every server is there, this one too, as the others reach it (cluster.advertise, if that is another address)`},
		"health":           {args: []string{"--health", "localhost:4222"}, env: []string{"PERDURE_LISTEN=127.0.0.1:4222"}, want: `--health: health is "localhost:4222": listen ($PERDURE_LISTEN) is the same address; give each a port of its own`},
		"any port":         {args: []string{"--cluster", "127.0.0.1:0", "--routes", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"}, want: `--cluster: cluster.listen is "127.0.0.1:0": use a port from 1 to 65535`},
		"a port":           {args: []string{"--url", "tls://ann:hidden@h:1,h:99999"}, want: `--url: url: an address has no port from 1 to 65535 after its colon; use one like nats://127.0.0.1:4222`},
		"no credentials":   {file: "url: nats://h\ncredentials: {file: node.yaml}\n", want: `node.yaml:2: credentials.file is "node.yaml": the file holds no credentials: use one with a JWT, after -----BEGIN NATS USER JWT-----, and the seed of its nkey, as 'nsc generate creds' makes it; a password or a token has a setting of its own`},
		"no nkey":          {file: "url: nats://h\ncredentials: {nkey_file: node.yaml}\n", want: `node.yaml:2: credentials.nkey_file is "node.yaml": the file holds no seed of an nkey, a line that begins with SU; 'nk -gen user' makes one`},
		"unlisted":         {args: []string{"--cluster", "10.0.0.1:6222", "--routes", "10.0.0.1:6223,10.0.0.2:6222,10.0.0.3:6222"}, want: `--cluster: cluster.listen is "10.0.0.1:6222": cluster.routes (--routes) does not list it: every server is there, this one too, as the others reach it (cluster.advertise, if that is another address)`},
		"a literal":        {file: "", args: []string{"--routes", "a:1", "--routes", "b"}, want: `--routes: cluster.routes is "a:1,b": "b": use HOST:PORT, e.g. 127.0.0.1:4222, or [::1]:4222`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.file, c.args, c.env)
			var faults config.Faults
			if !errors.As(err, &faults) || !errors.Is(err, durable.ErrInvalid) {
				t.Fatalf("the error is %v", err)
			}
			var lines []string
			for _, f := range faults {
				lines = append(lines, f.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(lines, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "secretive") {
				t.Errorf("a secret is printed: %v", err)
			}
		})
	}
}

// Names may stand for the server that routes do not list, and so may any address.
func TestLoad_NotesWhatIsNotWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"": {"--listen", "127.0.0.1:4222", "--cluster", "10.0.0.1:6222", "--routes", "a:6222,b:6222,c:6222"},
		"replicas is 4: a majority of them is needed, so they go on without as many servers as 3 do: use 3 or 5": {"--url", "nats://h", "--replicas", "4"},
	} {
		got, err := load(t, "", args, nil)
		if err != nil || strings.Join(got.Notes(), "\n") != want {
			t.Errorf("%v: %q (%v), want %q", args, got.Notes(), err, want)
		}
	}
}

func TestLoad_OfNothingIsTheDefault(t *testing.T) {
	for _, file := range []string{"", "# nothing\n", "cluster:\nlog:\n"} {
		got, err := load(t, file, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&config.Config{Dir: config.DefaultDir}, got, own); diff != "" {
			t.Errorf("%q (-want +got)\n%s", file, diff)
		}
	}
}

func TestReadSecret_LeavesTheLinesEndOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(" s3cret \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := config.ReadSecret(path); err != nil || got != " s3cret " {
		t.Errorf("it is %q (%v)", got, err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := config.ReadSecret(path); err == nil {
		t.Errorf("an empty one is %q", got)
	}
}
