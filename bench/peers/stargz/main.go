// stargz serves the peer's snapshotter library, in its default configuration, as a containerd proxy plugin
// on a unix socket: stargz -address SOCKET -root DIRECTORY. It ends on SIGTERM and takes its mounts with it.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/stargz-snapshotter/service"
	"google.golang.org/grpc"
)

func main() {
	address := flag.String("address", "", "unix socket to serve on")
	root := flag.String("root", "", "directory of all that is kept")
	flag.Parse()
	if *address == "" || *root == "" {
		log.Fatal("stargz: -address and -root are needed")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	snapshotter, err := service.NewStargzSnapshotterService(ctx, *root, &service.Config{})
	if err != nil {
		log.Fatalf("stargz: %v", err)
	}
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(snapshotter))
	listener, err := net.Listen("unix", *address)
	if err != nil {
		log.Fatalf("stargz: %v", err)
	}
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatalf("stargz: %v", err)
	}
	if err := snapshotter.Close(); err != nil {
		log.Fatalf("stargz: %v", err)
	}
}
