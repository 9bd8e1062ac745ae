#include "net/metadata.h"

#include "base/str.h"

/* RFC 3927: no router passes these on, so whatever answers there is the host's own platform. */
#define LINK_LOCAL "169.254.0.0/16"

const struct metadata_service metadata_services[] = {
    /* docs.aws.amazon.com, EC2 user guide, "Retrieve instance metadata"; the same address in
     * Azure (learn.microsoft.com, "Azure Instance Metadata Service"), Google Cloud
     * (cloud.google.com, "Access VM metadata"), Oracle Cloud, IBM Cloud VPC, Huawei Cloud,
     * OpenStack (docs.openstack.org, nova "Metadata"), DigitalOcean, Hetzner, Akamai/Linode,
     * Vultr, UpCloud, Exoscale, OVHcloud, Yandex Cloud. */
    {LINK_LOCAL, "169.254.169.254", "instance metadata of most clouds"},
    /* docs.aws.amazon.com, VPC user guide, "Amazon DNS server" */
    {LINK_LOCAL, "169.254.169.253", "AWS: DNS"},
    /* docs.aws.amazon.com, EC2 user guide, "Amazon Time Sync Service" */
    {LINK_LOCAL, "169.254.169.123", "AWS: time"},
    /* docs.aws.amazon.com, EC2 user guide, "Troubleshoot Windows activation" */
    {LINK_LOCAL, "169.254.169.250", "AWS: Windows activation"},
    {LINK_LOCAL, "169.254.169.251", "AWS: Windows activation"},
    /* cloud.google.com, GKE, "About Workload Identity Federation" */
    {LINK_LOCAL, "169.254.169.252", "Google Kubernetes Engine: metadata"},
    /* docs.aws.amazon.com, ECS developer guide, "Task IAM role" */
    {LINK_LOCAL, "169.254.170.2", "AWS ECS: credentials of tasks"},
    /* docs.aws.amazon.com, EKS user guide, "Set up the Amazon EKS Pod Identity Agent" */
    {LINK_LOCAL, "169.254.170.23", "AWS EKS: credentials of pods"},
    /* docs.oracle.com, OCI, "iSCSI commands": boot volumes are served there */
    {LINK_LOCAL, "169.254.0.2", "Oracle Cloud: boot volume"},
    /* cloud.tencent.com/document/product/213/4934: metadata.tencentyun.com */
    {LINK_LOCAL, "169.254.0.23", "Tencent Cloud: metadata"},
    /* docs.cloud-init.io, "Scaleway" */
    {LINK_LOCAL, "169.254.42.42", "Scaleway: metadata"},
    /* kubernetes.io, "Using NodeLocal DNSCache" */
    {LINK_LOCAL, "169.254.20.10", "Kubernetes: DNS of the node"},
    /* learn.microsoft.com, "What is IP address 168.63.129.16?": certificates, extensions' secrets
     * and the agent's control at ports 80 and 32526, DNS at port 53 */
    {"168.63.129.16", "168.63.129.16", "Azure: host service"},
    /* alibabacloud.com/help, ECS, "Access instance metadata" */
    {"100.100.100.200", "100.100.100.200", "Alibaba Cloud: metadata"},
    /* docs.byteplus.com/en/docs/ecs/Viewing-instance-metadata */
    {"100.96.0.96", "100.96.0.96", "Volcengine, BytePlus: metadata"},
    /* ucloud-global.com/docs/uhost/guide/metadata/metadata-server */
    {"100.80.80.80", "100.80.80.80", "UCloud, SurferCloud: metadata"},
    /* what metadata.tencentyun.com had in Tencent's first network */
    {"100.88.222.5", "100.88.222.5", "Tencent Cloud: metadata"},
    /* docs.oracle.com, Compute Classic, "Retrieving instance metadata"; the network is set aside by
     * RFC 6890 and has, at .9, whoever opens ports of the router (RFC 7723) */
    {"192.0.0.0/24", "192.0.0.192", "Oracle Compute Classic: metadata"},
    {"192.0.0.0/24", "192.0.0.9", "port control protocol"},
    /* metal.equinix.com, "Metadata": metadata.platformequinix.com knows a server by its address */
    {"192.80.8.124", "192.80.8.124", "Equinix Metal: metadata"},
};

const size_t n_metadata_services = ARRAY_LEN(metadata_services);

char *metadata_set(void)
{
    struct strbuf out = STRBUF_INIT;
    const char *last = "";
    for (size_t i = 0; i < n_metadata_services; i++) {
        if (str_eq(metadata_services[i].net, last))
            continue;
        strbuf_addf(&out, "%s%s", *last ? ", " : "{ ", metadata_services[i].net);
        last = metadata_services[i].net;
    }
    strbuf_adds(&out, " }");
    return strbuf_detach(&out);
}
