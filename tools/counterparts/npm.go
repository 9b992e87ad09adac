package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// files are package.json, its lock file, and what is run by node.
//
//go:embed npm
var files embed.FS

// leastNode is the major version that the packages need. Where npm has a binary of it
// for the machine, the lock file installs that, whatever the machine has.
const leastNode = 22

// notAvailable is what the machine lacks.
type notAvailable struct{ what string }

func (n notAvailable) Error() string { return "not available: " + n.what }

// A toolbox is what npm has installed.
type toolbox struct {
	dir  string // absolute
	node string // the program
	self string // this one
}

// install installs what the lock file pins, unless it is there.
func install(ctx context.Context, dir string) (*toolbox, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b := &toolbox{dir: dir}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	err = fs.WalkDir(files, "npm", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".json") {
			sum.Write(data)
		}
		to := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "npm/")))
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644))
	})
	if err != nil {
		return nil, err
	}
	stamp, want := filepath.Join(dir, "installed"), hex.EncodeToString(sum.Sum(nil))
	if has, err := os.ReadFile(stamp); err != nil || string(has) != want {
		if _, err := exec.LookPath("npm"); err != nil {
			return nil, notAvailable{"npm"}
		}
		fmt.Println("counterparts: npm installs into", dir)
		cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm ci in %s: %w; is the registry reached?\n%s", dir, err, out)
		}
		if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
			return nil, err
		}
	}
	b.node, err = findNode(ctx, dir)
	return b, err
}

// findNode returns the node that npm has installed, or that of the machine if it is new
// enough.
func findNode(ctx context.Context, dir string) (string, error) {
	arch := strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	own := filepath.Join(dir, "node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	path, err := exec.LookPath("node")
	if err != nil {
		return "", notAvailable{"node"}
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	version := string(bytes.TrimSpace(out))
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < leastNode {
		return "", notAvailable{fmt.Sprintf("node %d or newer, found %s", leastNode, version)}
	}
	return path, nil
}

// bin returns the path of a file of a package.
func (b *toolbox) bin(pkg, file string) string {
	return filepath.Join(b.dir, "node_modules", filepath.FromSlash(pkg), filepath.FromSlash(file))
}
