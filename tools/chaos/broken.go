package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build builds the programs that are not built yet.
func (c *config) build(ctx context.Context) error {
	if c.server == "" {
		c.server = filepath.Join(c.dir, "server")
		if err := goBuild(ctx, c.server, "./server", false, ""); err != nil {
			return err
		}
	}
	if c.node == "" {
		c.node = filepath.Join(c.dir, "node")
		return goBuild(ctx, c.node, "./node", c.race, "")
	}
	return nil
}

// goBuild builds a program of this module.
func goBuild(ctx context.Context, to, pkg string, race bool, overlay string) error {
	args := []string{"build", "-o", to}
	if race {
		args = append(args, "-race")
	}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Env = os.Environ()
	if race {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func catchAll(context.Context, config, string) error { return nil }
