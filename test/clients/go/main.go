// Uses a cluster by client-go, and prints what it saw as JSON (test/clients/support/facts.ts).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "default"
	watchTime = 20 * time.Second
)

type kindFacts struct {
	Created  string `json:"created"`
	Watched  string `json:"watched"`
	Listed   bool   `json:"listed"`
	Updated  string `json:"updated"`
	Conflict int32  `json:"conflict"`
	Patched  string `json:"patched"`
	Deleted  int32  `json:"deleted"`
}

// object is a pointer to an API type.
type object interface {
	meta.Object
	comparable
}

// typedClient has the calls that are used of a kind's client, List apart: its result differs by kind.
type typedClient[T object] interface {
	Create(context.Context, T, meta.CreateOptions) (T, error)
	Get(context.Context, string, meta.GetOptions) (T, error)
	Update(context.Context, T, meta.UpdateOptions) (T, error)
	Patch(context.Context, string, types.PatchType, []byte, meta.PatchOptions, ...string) (T, error)
	Delete(context.Context, string, meta.DeleteOptions) error
	Watch(context.Context, meta.ListOptions) (watch.Interface, error)
}

type kind[T object] struct {
	client typedClient[T]
	made   T
	list   func(context.Context) (runtime.Object, error)
	values func(T) map[string]string
	patch  string
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// codeOf gives the status of the answer to a call.
func codeOf(err error) int32 {
	if err == nil {
		return 200
	}
	if status, ok := err.(errors.APIStatus); ok {
		return status.Status().Code
	}
	log.Fatal(err)
	return 0
}

func firstEvent(ctx context.Context, client interface {
	Watch(context.Context, meta.ListOptions) (watch.Interface, error)
}, since string) string {
	events := must(client.Watch(ctx, meta.ListOptions{ResourceVersion: since}))
	defer events.Stop()
	select {
	case event := <-events.ResultChan():
		if found, ok := event.Object.(meta.Object); ok {
			return fmt.Sprintf("%s %s", event.Type, found.GetName())
		}
		return string(event.Type)
	case <-time.After(watchTime):
		return "nothing"
	}
}

// contents gives the names of a list's objects, and its resource version.
func contents(list runtime.Object) ([]string, string) {
	names := []string{}
	must(0, apimeta.EachListItem(list, func(item runtime.Object) error {
		names = append(names, must(apimeta.Accessor(item)).GetName())
		return nil
	}))
	return names, must(apimeta.ListAccessor(list)).GetResourceVersion()
}

func factsOf[T object](ctx context.Context, of kind[T]) kindFacts {
	name := of.made.GetName()
	_, since := contents(must(of.list(ctx)))
	created := must(of.client.Create(ctx, of.made, meta.CreateOptions{}))
	watched := firstEvent(ctx, of.client, since)
	names, _ := contents(must(of.list(ctx)))
	changed := must(of.client.Get(ctx, name, meta.GetOptions{}))
	stale := must(of.client.Get(ctx, name, meta.GetOptions{}))
	of.values(changed)["value"] = "two"
	updated := must(of.client.Update(ctx, changed, meta.UpdateOptions{}))
	_, conflict := of.client.Update(ctx, stale, meta.UpdateOptions{})
	patch := []byte(of.patch)
	patched := must(of.client.Patch(ctx, name, types.StrategicMergePatchType, patch, meta.PatchOptions{}))
	must(name, of.client.Delete(ctx, name, meta.DeleteOptions{}))
	_, deleted := of.client.Get(ctx, name, meta.GetOptions{})
	return kindFacts{
		Created:  of.values(created)["value"],
		Watched:  watched,
		Listed:   slices.Contains(names, name),
		Updated:  of.values(updated)["value"],
		Conflict: codeOf(conflict),
		Patched:  of.values(patched)["value"],
		Deleted:  codeOf(deleted),
	}
}

func configMaps(set kubernetes.Interface, name string) kind[*core.ConfigMap] {
	client := set.CoreV1().ConfigMaps(namespace)
	return kind[*core.ConfigMap]{
		client: client,
		made: &core.ConfigMap{
			ObjectMeta: meta.ObjectMeta{Name: name},
			Data:       map[string]string{"value": "one"},
		},
		list: func(ctx context.Context) (runtime.Object, error) {
			return client.List(ctx, meta.ListOptions{})
		},
		values: func(found *core.ConfigMap) map[string]string { return found.Data },
		patch:  `{"data":{"value":"three"}}`,
	}
}

func services(set kubernetes.Interface, name string) kind[*core.Service] {
	client := set.CoreV1().Services(namespace)
	return kind[*core.Service]{
		client: client,
		made: &core.Service{
			ObjectMeta: meta.ObjectMeta{Name: name},
			Spec: core.ServiceSpec{
				Selector: map[string]string{"value": "one"},
				Ports:    []core.ServicePort{{Port: 80}},
			},
		},
		list: func(ctx context.Context) (runtime.Object, error) {
			return client.List(ctx, meta.ListOptions{})
		},
		values: func(found *core.Service) map[string]string { return found.Spec.Selector },
		patch:  `{"spec":{"selector":{"value":"three"}}}`,
	}
}

func facts(ctx context.Context, kubeconfig, name string) map[string]any {
	config := must(clientcmd.BuildConfigFromFlags("", kubeconfig))
	set := must(kubernetes.NewForConfig(config))
	return map[string]any{
		"version":   must(set.Discovery().ServerVersion()).GitVersion,
		"ConfigMap": factsOf(ctx, configMaps(set, name)),
		"Service":   factsOf(ctx, services(set, name)),
	}
}

// rights uses the credentials that a pod has, which lie in a directory here: rest.InClusterConfig has fixed paths.
func rights(ctx context.Context, directory string) map[string]any {
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	set := must(kubernetes.NewForConfig(&rest.Config{
		Host:            "https://" + host,
		BearerTokenFile: filepath.Join(directory, "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(directory, "ca.crt")},
	}))
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: "refused"},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: "main", Image: "none"}}},
	}
	_, listPods := set.CoreV1().Pods(namespace).List(ctx, meta.ListOptions{})
	_, createPod := set.CoreV1().Pods(namespace).Create(ctx, pod, meta.CreateOptions{})
	_, listSecrets := set.CoreV1().Secrets(namespace).List(ctx, meta.ListOptions{})
	return map[string]any{
		"listPods":    codeOf(listPods),
		"createPod":   codeOf(createPod),
		"listSecrets": codeOf(listSecrets),
	}
}

func main() {
	ctx, arguments := context.Background(), os.Args[1:]
	var found map[string]any
	switch {
	case len(arguments) == 3 && arguments[0] == "facts":
		found = facts(ctx, arguments[1], arguments[2])
	case len(arguments) == 2 && arguments[0] == "rights":
		found = rights(ctx, arguments[1])
	default:
		log.Fatal("usage: facts KUBECONFIG NAME | rights DIRECTORY")
	}
	must(0, json.NewEncoder(os.Stdout).Encode(found))
}
