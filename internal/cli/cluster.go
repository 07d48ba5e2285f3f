package cli

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/projectvrouter/vrouter/internal/resource"
	vrouterv1 "github.com/projectvrouter/vrouter/proto/vrouter/v1"
)

func (a *app) clusterCommand() *cobra.Command {
	return group("cluster", "Show the cluster, or accept a new store", a.clusterInfoCommand(), a.clusterAdoptCommand())
}

func (a *app) clusterInfoCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "info",
		Short: "Show the identity of the cluster, and whether its store is locked",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := parseFormat(output, "table", formatYAML, formatJSON)
			if err != nil {
				return err
			}
			return a.clusterInfo(cmd.Context(), f)
		},
	}
	bindOutput(c, &output, "table", formatYAML, formatJSON)
	return c
}

func (a *app) clusterInfo(ctx context.Context, f format) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	msg, err := getObject(ctx, c, ref{kind: resource.KindClusterInformation, name: resource.DefaultName})
	if err != nil {
		return err
	}
	if f != formatTable {
		return a.writeObjects(f, []proto.Message{msg}, true)
	}
	spec := msg.(*vrouterv1.ClusterInformation).GetSpec()
	a.line("cluster   %s", or(spec.GetClusterGuid(), "without identity"))
	if spec.GetClusterType() != "" {
		a.line("type      %s", spec.GetClusterType())
	}
	if spec.GetVrouterVersion() != "" {
		a.line("vrouter   %s", spec.GetVrouterVersion())
	}
	if spec.GetCalicoVersion() != "" {
		a.line("calico    %s", spec.GetCalicoVersion())
	}
	if spec != nil && spec.DatastoreReady != nil && !spec.GetDatastoreReady() {
		lock := spec.GetDatastoreLock()
		a.painted("store     locked"+lockText(lock.GetBy(), lock.GetSince(), lock.GetReason())+": nothing is written", doubtful)
	} else {
		a.painted("store     ready", good)
	}
	return nil
}

func (a *app) clusterAdoptCommand() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "adopt",
		Short: "Accept a store that is not the one a node knew",
		Long: `Accept a store that is not the one a node knew: one restored from a backup, or a
new one. Until then the node removes nothing and is not ready. From then on it
makes its routes what the store says: what the store does not know is removed.
Look at it with 'vrouterctl get' before.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			response, err := c.nodes.AdoptCluster(cmd.Context(), &vrouterv1.AdoptClusterRequest{Node: node})
			if err != nil {
				return err
			}
			if response.GetAdopted() {
				a.line("cluster %s adopted", response.GetClusterGuid())
			} else {
				a.line("cluster %s was known already: nothing to adopt", response.GetClusterGuid())
			}
			return nil
		},
	}
	a.bindNode(c, &node, "node that adopts")
	return c
}
