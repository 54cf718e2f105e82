package conformance

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

type client struct {
	t   *testing.T
	api snapshotsapi.SnapshotsClient
}

func newClient(t *testing.T) client {
	needDaemon(t)
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	conn, stop, err := startDaemon(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return client{t, snapshotsapi.NewSnapshotsClient(conn)}
}

func (c client) prepare(key, parent string) error {
	_, err := c.api.Prepare(context.Background(), &snapshotsapi.PrepareSnapshotRequest{Key: key, Parent: parent})
	return err
}

func (c client) view(key, parent string) error {
	_, err := c.api.View(context.Background(), &snapshotsapi.ViewSnapshotRequest{Key: key, Parent: parent})
	return err
}

func (c client) commit(name, key, parent string) error {
	_, err := c.api.Commit(context.Background(), &snapshotsapi.CommitSnapshotRequest{Name: name, Key: key, Parent: parent})
	return err
}

func (c client) stat(key string) (*snapshotsapi.Info, error) {
	r, err := c.api.Stat(context.Background(), &snapshotsapi.StatSnapshotRequest{Key: key})
	return r.GetInfo(), err
}

func (c client) mounts(key string) error {
	_, err := c.api.Mounts(context.Background(), &snapshotsapi.MountsRequest{Key: key})
	return err
}

func (c client) usage(key string) error {
	_, err := c.api.Usage(context.Background(), &snapshotsapi.UsageRequest{Key: key})
	return err
}

func (c client) remove(key string) error {
	_, err := c.api.Remove(context.Background(), &snapshotsapi.RemoveSnapshotRequest{Key: key})
	return err
}

func (c client) update(name string, labels map[string]string, mask ...string) (map[string]string, error) {
	request := &snapshotsapi.UpdateSnapshotRequest{Info: &snapshotsapi.Info{Name: name, Labels: labels}}
	if len(mask) > 0 {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: mask}
	}
	r, err := c.api.Update(context.Background(), request)
	return r.GetInfo().GetLabels(), err
}

func (c client) list(filters ...string) ([]*snapshotsapi.Info, error) {
	stream, err := c.api.List(context.Background(), &snapshotsapi.ListSnapshotsRequest{Filters: filters})
	if err != nil {
		return nil, err
	}
	var infos []*snapshotsapi.Info
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return infos, nil
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, r.Info...)
	}
}

func (c client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFreshStore(t *testing.T) {
	c := newClient(t)
	if infos, err := c.list(); err != nil || len(infos) != 0 {
		t.Errorf("List: %v, %v; want nothing and no error", infos, err)
	}
	if got := status.Code(second(c.stat("nope"))); got != codes.NotFound {
		t.Errorf("Stat: %v", got)
	}
}

func TestErrors(t *testing.T) {
	c := newClient(t)
	c.must(c.prepare("base", ""))
	c.must(c.commit("A", "base", ""))
	c.must(c.prepare("other", ""))
	c.must(c.commit("P2", "other", ""))
	c.must(c.prepare("a", ""))
	c.must(c.prepare("b", "A"))
	c.must(c.view("v", "A"))
	before, err := c.list()
	c.must(err)

	for _, row := range []struct {
		what string
		err  error
		want codes.Code
	}{
		{"Stat of a missing key", second(c.stat("nope")), codes.NotFound},
		{"Prepare with an existing key", c.prepare("a", ""), codes.AlreadyExists},
		{"Prepare with a committed name", c.prepare("A", ""), codes.AlreadyExists},
		{"View with an existing key", c.view("a", ""), codes.AlreadyExists},
		{"Prepare on a missing parent", c.prepare("n", "nope"), codes.NotFound},
		{"Prepare on an active parent", c.prepare("n", "a"), codes.InvalidArgument},
		{"View on a missing parent", c.view("n", "nope"), codes.NotFound},
		{"View on an active parent", c.view("n", "a"), codes.InvalidArgument},
		{"Prepare with an empty key", c.prepare("", ""), codes.InvalidArgument},
		{"Commit of a missing key", c.commit("n", "nope", ""), codes.NotFound},
		{"Commit with a missing parent", c.commit("n", "a", "nope"), codes.NotFound},
		{"Commit to an existing name", c.commit("A", "b", ""), codes.AlreadyExists},
		{"Commit of a committed snapshot", c.commit("Z", "A", ""), codes.FailedPrecondition},
		{"Commit with another parent", c.commit("B", "b", "P2"), codes.InvalidArgument},
		{"Commit of a view", c.commit("V", "v", ""), codes.FailedPrecondition},
		{"Mounts of a committed snapshot", c.mounts("A"), codes.FailedPrecondition},
		{"Mounts of a missing key", c.mounts("nope"), codes.NotFound},
		{"Usage of a missing key", c.usage("nope"), codes.NotFound},
		{"Remove with children", c.remove("A"), codes.FailedPrecondition},
		{"Remove of a missing key", c.remove("nope"), codes.NotFound},
		{"Update of a missing key", second(c.update("nope", nil)), codes.NotFound},
		{"Update of parent", second(c.update("A", nil, "parent")), codes.InvalidArgument},
		{"Update of kind", second(c.update("A", nil, "kind")), codes.InvalidArgument},
		{"Update of name", second(c.update("A", nil, "name")), codes.InvalidArgument},
		{"Update of created_at", second(c.update("A", nil, "created_at")), codes.InvalidArgument},
		{"Update of an unknown field", second(c.update("A", nil, "bogus")), codes.InvalidArgument},
		{"List with a bad filter", second(c.list("bad filter ===")), codes.InvalidArgument},
	} {
		if got := status.Code(row.err); got != row.want {
			t.Errorf("%s: %v, want %v (%v)", row.what, got, row.want, row.err)
		}
	}
	if err := c.remove("A"); !strings.Contains(status.Convert(err).Message(), "remove") {
		t.Errorf("Remove with children says %q, without the word that clients look for", err)
	}
	after, err := c.list()
	c.must(err)
	if !slices.EqualFunc(before, after, func(a, b *snapshotsapi.Info) bool { return proto.Equal(a, b) }) {
		t.Errorf("a refused call changed something:\n%v\n%v", before, after)
	}
	if _, err := c.api.Cleanup(context.Background(), &snapshotsapi.CleanupRequest{}); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
}

func TestUpdateMasks(t *testing.T) {
	c := newClient(t)
	c.must(c.prepare("a", ""))
	for _, row := range []struct {
		what   string
		labels map[string]string
		mask   []string
		want   map[string]string
	}{
		{"no mask replaces all", map[string]string{"q": "1", "r.s": "2"}, nil, map[string]string{"q": "1", "r.s": "2"}},
		{"one label, with a dot", map[string]string{"q": "9", "r.s": "3"}, []string{"labels.r.s"}, map[string]string{"q": "1", "r.s": "3"}},
		{"an absent value deletes", nil, []string{"labels.q"}, map[string]string{"r.s": "3"}},
		{"labels replaces all", map[string]string{"z": "1"}, []string{"labels"}, map[string]string{"z": "1"}},
		{"an empty value deletes", map[string]string{"z": ""}, []string{"labels.z"}, nil},
	} {
		got, err := c.update("a", row.labels, row.mask...)
		if err != nil || !maps.Equal(got, row.want) {
			t.Errorf("%s: %v, %v; want %v", row.what, got, err, row.want)
		}
	}
}

func TestFilters(t *testing.T) {
	c := newClient(t)
	c.must(c.prepare("base", ""))
	c.must(c.commit("A", "base", ""))
	c.must(c.prepare("b", "A"))
	c.must(c.view("v", "A"))
	c.must(second(c.update("A", map[string]string{"containerd.io/snapshot.ref": "sha256:1"})))
	for filter, want := range map[string]int{
		`kind==active`:    1,
		`kind==Committed`: 0,
		`name==A`:         1,
		`name~=^A`:        1,
		`parent==""`:      1,
		`parent==A`:       2,
		`parent`:          3,
		`labels.x`:        0,
		`unknown==1`:      0,
		`labels."containerd.io/snapshot.ref"==sha256:1,parent==""`:  1,
		`labels."containerd.io/snapshot.ref"==sha256:1,parent=="A"`: 0,
	} {
		infos, err := c.list(filter)
		if err != nil || len(infos) != want {
			t.Errorf("%s: %d snapshots, %v; want %d", filter, len(infos), err, want)
		}
	}
}

func TestRemoteProtocolFallsBack(t *testing.T) {
	c := newClient(t)
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	// A port of the loopback address that nobody listens on: the registry is away.
	r, err := c.api.Prepare(context.Background(), &snapshotsapi.PrepareSnapshotRequest{Key: "extract", Labels: map[string]string{
		"containerd.io/snapshot.ref":                 "sha256:chain",
		"containerd.io/snapshot/cri.image-ref":       "127.0.0.1:1/a/b:1",
		"containerd.io/snapshot/cri.layer-digest":    digest,
		"containerd.io/snapshot/stargz/toc.digest":   digest,
		"containerd.io/snapshot/cri.image-layers":    digest,
		"containerd.io/snapshot/cri.manifest-digest": digest,
	}})
	if err != nil || len(r.GetMounts()) != 1 || r.GetMounts()[0].GetType() != "bind" {
		t.Errorf("Prepare: %v, %v; want an ordinary snapshot", r.GetMounts(), err)
	}
}
