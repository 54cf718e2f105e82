// optimize does what the peer's command `ctr-remote image optimize --oci` does when nothing else is said: it runs an
// image of a containerd for ten seconds at most, has the peer's analyzer note by fanotify what is opened, and has the
// peer's converter write the image again with those files in front, by gzip at level 9:
// optimize -address SOCKET -namespace NAME SOURCE TARGET. It needs root.
// The command itself is in no module of the peer's that the Go proxy serves; all that it calls is.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"os"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/converter"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	"github.com/containerd/stargz-snapshotter/analyzer"
	"github.com/containerd/stargz-snapshotter/analyzer/fanotify/service"
	"github.com/containerd/stargz-snapshotter/estargz"
	convert "github.com/containerd/stargz-snapshotter/nativeconverter/estargz"
	"github.com/containerd/stargz-snapshotter/recorder"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerOptions reads a record: the files of each layer in the order of their first need. A layer of which nothing was
// opened gets an empty list, by which the converter gives it the landmark that says so.
func layerOptions(ctx context.Context, client *containerd.Client, source string, record digest.Digest) (map[digest.Digest][]estargz.Option, error) {
	image, err := client.ImageService().Get(ctx, source)
	if err != nil {
		return nil, err
	}
	store := client.ContentStore()
	manifest, err := images.Manifest(ctx, store, image.Target, platforms.Default())
	if err != nil {
		return nil, err
	}
	reader, err := store.ReaderAt(ctx, ocispec.Descriptor{Digest: record})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	files := make([][]string, len(manifest.Layers))
	entries := json.NewDecoder(io.NewSectionReader(reader, 0, reader.Size()))
	for entries.More() {
		var entry recorder.Entry
		if err := entries.Decode(&entry); err != nil {
			return nil, err
		}
		files[*entry.LayerIndex] = append(files[*entry.LayerIndex], entry.Path)
	}
	options := make(map[digest.Digest][]estargz.Option)
	for index, layer := range manifest.Layers {
		log.Printf("%d files of %s", len(files[index]), layer.Digest)
		options[layer.Digest] = []estargz.Option{estargz.WithPrioritizedFiles(files[index])}
	}
	return options, nil
}

func optimize(address, namespace, source, target string) error {
	client, err := containerd.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, done, err := client.WithLease(namespaces.WithNamespace(context.Background(), namespace))
	if err != nil {
		return err
	}
	defer done(ctx)
	record, err := analyzer.Analyze(ctx, client, source)
	if err != nil {
		return err
	}
	options, err := layerOptions(ctx, client, source, record)
	if err != nil {
		return err
	}
	_, err = converter.Convert(ctx, client, target, source, converter.WithPlatform(platforms.DefaultStrict()),
		converter.WithDockerToOCI(true), converter.WithLayerConvertFunc(convert.LayerConvertWithLayerAndCommonOptsFunc(options)))
	return err
}

func main() {
	log.SetPrefix("optimize: ")
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == "fanotify" { // how the analyzer starts its own program, in the container's mount namespace
		if err := service.Serve(os.Args[2], os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	address := flag.String("address", "", "containerd's socket")
	namespace := flag.String("namespace", "", "of the images")
	flag.Parse()
	if *address == "" || *namespace == "" || flag.NArg() != 2 {
		log.Fatal("-address, -namespace, SOURCE and TARGET are needed")
	}
	if err := optimize(*address, *namespace, flag.Arg(0), flag.Arg(1)); err != nil {
		log.Fatal(err)
	}
}
