// manifests check: reads Kubernetes manifests from its input as the API server does with strict field validation: each document
// has a kind that is known here, no field is unknown, given twice or of another type. Prints "KIND NAME" of each.
//
// manifests render CHART [NAME=VALUE...]: the manifests of a Helm chart, released as "starling" in a namespace of that name.
package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() meta.Object{
	"v1 Namespace":      func() meta.Object { return &core.Namespace{} },
	"v1 ServiceAccount": func() meta.Object { return &core.ServiceAccount{} },
	"v1 ConfigMap":      func() meta.Object { return &core.ConfigMap{} },
	"apps/v1 DaemonSet": func() meta.Object { return &apps.DaemonSet{} },
}

// checkDaemonSet checks what no type says: a selector that selects its own pods, and volumes that are there.
func checkDaemonSet(set *apps.DaemonSet) error {
	selector, err := meta.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return err
	}
	if labels := set.Spec.Template.Labels; selector.Empty() || !selector.Matches(fields(labels)) {
		return fmt.Errorf("the selector does not select its pods")
	}
	volumes := map[string]bool{}
	for _, volume := range set.Spec.Template.Spec.Volumes {
		volumes[volume.Name] = true
	}
	for _, container := range set.Spec.Template.Spec.Containers {
		if container.Image == "" {
			return fmt.Errorf("container %s has no image", container.Name)
		}
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				return fmt.Errorf("container %s mounts %s, which is no volume", container.Name, mount.Name)
			}
		}
	}
	return nil
}

type fields map[string]string

func (f fields) Has(key string) bool              { _, ok := f[key]; return ok }
func (f fields) Get(key string) string            { return f[key] }
func (f fields) Lookup(key string) (string, bool) { value, ok := f[key]; return value, ok }

func check(document string) (string, error) {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		return "", err
	}
	name := kind.APIVersion + " " + kind.Kind
	create, known := kinds[name]
	if !known {
		return "", fmt.Errorf("kind %q is not known", name)
	}
	object := create()
	if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if problems := validation.IsDNS1123Subdomain(object.GetName()); len(problems) > 0 {
		return "", fmt.Errorf("%s %q: %s", name, object.GetName(), strings.Join(problems, "; "))
	}
	if set, ok := object.(*apps.DaemonSet); ok {
		if err := checkDaemonSet(set); err != nil {
			return "", fmt.Errorf("%s %s: %w", name, set.Name, err)
		}
	}
	return kind.Kind + " " + object.GetName(), nil
}

func checkAll(input io.Reader) error {
	text, err := io.ReadAll(bufio.NewReader(input))
	if err != nil {
		return err
	}
	for _, document := range regexp.MustCompile(`(?m)^---\s*$`).Split(string(text), -1) {
		if strings.TrimSpace(regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(document, "")) == "" {
			continue
		}
		name, err := check(document)
		if err != nil {
			return err
		}
		fmt.Println(name)
	}
	return nil
}

func render(directory string, settings []string) error {
	chart, err := loader.Load(directory)
	if err != nil {
		return err
	}
	if err := chart.Validate(); err != nil {
		return err
	}
	values := map[string]any{}
	for _, setting := range settings {
		if err := strvals.ParseInto(setting, values); err != nil {
			return err
		}
	}
	release := chartutil.ReleaseOptions{Name: "starling", Namespace: "starling", IsInstall: true}
	rendered, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, rendered)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Print(files[name])
	}
	return nil
}

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "check":
		err = checkAll(os.Stdin)
	case len(os.Args) >= 3 && os.Args[1] == "render":
		err = render(os.Args[2], os.Args[3:])
	default:
		fmt.Fprintln(os.Stderr, "usage: manifests check | manifests render CHART [NAME=VALUE...]")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
