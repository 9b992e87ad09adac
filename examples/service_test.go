package examples_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/perdure/perdure"
	"github.com/perdure/perdure/config"
	"github.com/perdure/perdure/durable"
)

type order struct {
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// The program is configured by its file, flags and the environment, and leaves in good
// order when it is told to.
func TestService_IsConfiguredAndLeaves(t *testing.T) {
	file, err := filepath.Abs(filepath.Join("service", "node.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PERDURE_NAMESPACE", "shop")
	dir := t.TempDir()
	p := start(t, dir, "service", "-config", file, "-listen", "127.0.0.1:0", "--namespace", "overridden")
	url := p.saysThat("ready ")
	ctx, cancel := context.WithTimeout(t.Context(), programWait)
	defer cancel()
	c, err := perdure.Dial(ctx, url, perdure.Namespace("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := perdure.Call(ctx, c, durable.DeclareWorkflow[order, string]("invoice").At("o-1"), order{"ann", 1250})
	if err != nil || !strings.HasPrefix(got, "ann owes 12.50 (") {
		t.Errorf("the invoice is %q (%v)", got, err)
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].Node != "shop-1" {
		t.Errorf("the nodes are %+v (%v), want shop-1", nodes, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "perdure-data", "shop")); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.end()
	if !strings.Contains(p.stderr.String(), `"msg":"durability"`) {
		t.Errorf("the log is not JSON:\n%s", p.stderr.String())
	}

	bad := start(t, dir, "service", "-max-runs", "many", "-retention", "1h")
	<-bad.exited
	want(t, bad.stderr.String(), "service: the configuration is wrong in 2 places:\n"+
		"  --retention: retention is \"1h\": it is at least 2h\n"+
		"  --max-runs: max_runs is \"many\": use a whole number, at least 1\n")
}

// What the files that users copy say is right, but for the secrets that are not here.
func TestService_FilesAreRight(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("service", "*.yaml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v (%v), want three files", files, err)
	}
	for _, file := range files {
		_, err := (&config.Source{File: file, Environ: []string{}}).Load()
		var faults config.Faults
		errors.As(err, &faults)
		for _, f := range faults {
			if !strings.Contains(f.Wrong, "no such file or directory") {
				t.Error(f)
			}
		}
	}
}
