"""What the certificates role asks: lists of files from lists of identities."""

from __future__ import annotations

import json


def kubeconfigs(users, server, pki):
    """A kubeconfig for each user of the API on this machine. Certificates lie in files of their own, read again when renewed."""
    return [
        {
            "path": "/etc/pilothouse/%s.conf" % user,
            "content": json.dumps(kubeconfig(user, server, pki), indent=2) + "\n",
            "mode": "0644",
        }
        for user in users
    ]


def kubeconfig(user, server, pki):
    identity = {"client-certificate": "%s/%s/tls.crt" % (pki, user), "client-key": "%s/%s/tls.key" % (pki, user)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "pilothouse", "cluster": {"server": server, "certificate-authority": "%s/cluster-ca.crt" % pki}}
        ],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": "pilothouse", "context": {"cluster": "pilothouse", "user": user}}],
        "current-context": "pilothouse",
    }


def with_plans(requests, identities):
    """Each request with what the inventory says of its identity: the request itself decides nothing but the key."""
    plans = {identity["name"]: identity for identity in identities}
    return [dict(request, plan=plans[request["identity"]]) for request in requests]


class FilterModule:
    def filters(self):
        return {"kubeconfigs": kubeconfigs, "with_plans": with_plans}
