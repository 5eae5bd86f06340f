// Watches every listable kind of an API group through shared informers of client-go, as controllers do, and says at
// the end whether what they hold is what a fresh list shows. All features of client-go are as they come: with
// WatchList, that is.
//
// Usage: informers GROUP/VERSION SECONDS, with KUBECONFIG. Prints one line of JSON per kind; fails where a store
// differs, or where no informer asked for its state as a stream.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Long enough for a poll, a watch and a list after the last change.
const patience = 30 * time.Second

// What was seen of one kind.
type report struct {
	Resource   string `json:"resource"`
	Informer   string `json:"informer"`
	Objects    int    `json:"objects"`
	Added      int64  `json:"added"`
	Modified   int64  `json:"modified"`
	Deleted    int64  `json:"deleted"`
	Difference string `json:"difference,omitempty"`
}

// How informers asked for their first state.
type asked struct{ streams, lists, failures atomic.Int64 }

func (a *asked) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		query := request.URL.Query()
		switch {
		case query.Get("sendInitialEvents") == "true":
			a.streams.Add(1)
		case query.Get("watch") == "":
			a.lists.Add(1)
		}
		response, err := next.RoundTrip(request)
		if err == nil && response.StatusCode >= http.StatusInternalServerError {
			a.failures.Add(1)
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

type watched struct {
	report   report
	informer cache.SharedIndexInformer
	fresh    func(context.Context) (map[string]string, error)
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 3 {
		return errors.New("usage: informers GROUP/VERSION SECONDS")
	}
	seconds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	kinds, err := listable(config, os.Args[1])
	if err != nil {
		return err
	}
	var asked asked
	config.Wrap(asked.wrap)
	all, err := watch(ctx, config, kinds)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(seconds) * time.Second)
	return conclude(ctx, all, &asked)
}

// The resources of a group version that can be listed and watched.
func listable(config *rest.Config, groupVersion string) ([]schema.GroupVersionResource, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := client.ServerResourcesForGroupVersion(groupVersion)
	if err != nil {
		return nil, err
	}
	gv, err := schema.ParseGroupVersion(groupVersion)
	if err != nil {
		return nil, err
	}
	var kinds []schema.GroupVersionResource
	for _, resource := range list.APIResources {
		if slices.Contains(resource.Verbs, "list") && slices.Contains(resource.Verbs, "watch") {
			kinds = append(kinds, gv.WithResource(resource.Name))
		}
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("%s has no kind that can be listed and watched", groupVersion)
	}
	return kinds, nil
}

// Starts two informers for each kind: whole objects, and metadata alone.
func watch(ctx context.Context, config *rest.Config, kinds []schema.GroupVersionResource) ([]*watched, error) {
	whole, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	objects := dynamicinformer.NewDynamicSharedInformerFactory(whole, 0)
	metas := metadatainformer.NewSharedInformerFactory(partial, 0)
	var all []*watched
	for _, kind := range kinds {
		all = append(all,
			&watched{
				report:   report{Resource: kind.Resource, Informer: "objects"},
				informer: objects.ForResource(kind).Informer(),
				fresh: func(ctx context.Context) (map[string]string, error) {
					list, err := whole.Resource(kind).List(ctx, metav1.ListOptions{})
					if err != nil {
						return nil, err
					}
					return contents(list.Items)
				},
			},
			&watched{
				report:   report{Resource: kind.Resource, Informer: "metadata"},
				informer: metas.ForResource(kind).Informer(),
				fresh: func(ctx context.Context) (map[string]string, error) {
					list, err := partial.Resource(kind).List(ctx, metav1.ListOptions{})
					if err != nil {
						return nil, err
					}
					return contents(list.Items)
				},
			})
	}
	for _, one := range all {
		if err := one.count(); err != nil {
			return nil, err
		}
	}
	objects.Start(ctx.Done())
	metas.Start(ctx.Done())
	for _, one := range all {
		within, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if !cache.WaitForCacheSync(within.Done(), one.informer.HasSynced) {
			return nil, fmt.Errorf("the %s informer of %s never synced", one.report.Informer, one.report.Resource)
		}
	}
	return all, nil
}

func (w *watched) count() error {
	_, err := w.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { atomic.AddInt64(&w.report.Added, 1) },
		UpdateFunc: func(any, any) { atomic.AddInt64(&w.report.Modified, 1) },
		DeleteFunc: func(any) { atomic.AddInt64(&w.report.Deleted, 1) },
	})
	return err
}

// Each object by its key, as JSON.
func contents[T any](items []T) (map[string]string, error) {
	found := map[string]string{}
	for i := range items {
		key, text, err := content(&items[i])
		if err != nil {
			return nil, err
		}
		found[key] = text
	}
	return found, nil
}

func content(object any) (string, string, error) {
	key, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return "", "", err
	}
	switch one := object.(type) {
	case *unstructured.Unstructured:
		object = settled(one)
	case *metav1.PartialObjectMetadata:
		// A list says for each item what it is, a watch leaves that to the reader.
		object = one.ObjectMeta
	}
	text, err := json.Marshal(object)
	return key, string(text), err
}

// When the server last looked is no part of what it saw.
func settled(object *unstructured.Unstructured) map[string]any {
	copied := object.DeepCopy().Object
	unstructured.RemoveNestedField(copied, "status", "observedAt")
	return copied
}

func (w *watched) held() (map[string]string, error) {
	found := map[string]string{}
	for _, object := range w.informer.GetStore().List() {
		key, text, err := content(object)
		if err != nil {
			return nil, err
		}
		found[key] = text
	}
	return found, nil
}

// Compares until equal: a change may just have happened.
func (w *watched) compare(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, time.Second, patience, true, func(ctx context.Context) (bool, error) {
		fresh, err := w.fresh(ctx)
		if err != nil {
			return false, err
		}
		held, err := w.held()
		if err != nil {
			return false, err
		}
		w.report.Objects = len(fresh)
		w.report.Difference = difference(held, fresh)
		return reflect.DeepEqual(held, fresh), nil
	})
}

func difference(held, fresh map[string]string) string {
	for key, text := range fresh {
		if held[key] != text {
			return fmt.Sprintf("%s: held %s, listed %s", key, held[key], text)
		}
	}
	for key := range held {
		if _, is := fresh[key]; !is {
			return key + " is held and not listed"
		}
	}
	return ""
}

func conclude(ctx context.Context, all []*watched, asked *asked) error {
	var failed []error
	if asked.streams.Load() < int64(len(all)) {
		failed = append(failed, fmt.Errorf("%d informers, %d of them streamed", len(all), asked.streams.Load()))
	}
	for _, one := range all {
		if err := one.compare(ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s of %s: %w", one.report.Informer, one.report.Resource, err))
		}
		line, err := json.Marshal(&one.report)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
	}
	if failures := asked.failures.Load(); failures > 0 {
		failed = append(failed, fmt.Errorf("%d answers were errors of the server", failures))
	}
	return errors.Join(failed...)
}
