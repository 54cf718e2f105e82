// Package conformance runs containerd's own snapshotter suite, and the table of errors that its clients rely
// on, against an external snapshotter daemon over gRPC:
//
//	SNAPSHOTTER_CMD='starlingd --root {root} --address {sock}' go test -v .
//
// Every test has a daemon of its own, so that parallel tests never share a key space. Needs root.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/proxy"
	"github.com/containerd/containerd/v2/core/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// startDaemon runs the daemon for root until the returned function is called, which reports how it ended.
func startDaemon(root string) (*grpc.ClientConn, func() error, error) {
	sock := filepath.Join(filepath.Dir(root), "s.sock")
	args := strings.Fields(strings.NewReplacer("{root}", root, "{sock}", sock).Replace(os.Getenv("SNAPSHOTTER_CMD")))
	cmd := exec.Command(args[0], args[1:]...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			return nil, nil, fmt.Errorf("the daemon ended: %v\n%s", err, log.String())
		default:
		}
		if c, err := net.Dial("unix", sock); err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			return nil, nil, fmt.Errorf("the daemon does not listen: %v\n%s", <-ended, log.String())
		}
	}
	stop := func() error {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("the daemon ended: %w\n%s", err, log.String())
			}
		case <-time.After(60 * time.Second):
			cmd.Process.Kill()
			return errors.New("the daemon does not stop")
		}
		if mounts, err := os.ReadFile("/proc/self/mounts"); err == nil && strings.Contains(string(mounts), " "+root+"/") {
			return fmt.Errorf("the daemon left mounts below %s", root)
		}
		return nil
	}
	conn, err := grpc.NewClient("unix://"+sock, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		stop()
		return nil, nil, err
	}
	return conn, func() error { conn.Close(); return stop() }, nil
}

func open(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
	conn, stop, err := startDaemon(root)
	if err != nil {
		return nil, nil, err
	}
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "conformance"), stop, nil
}

func needDaemon(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("SNAPSHOTTER_CMD") == "" {
		t.Skip("needs root and SNAPSHOTTER_CMD")
	}
}

func TestSuite(t *testing.T) {
	needDaemon(t)
	// The name makes the suite leave out the directory rename, which overlayfs cannot do.
	testsuite.SnapshotterSuite(t, "overlayfs", open)
}
