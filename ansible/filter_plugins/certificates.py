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


def certificates_plan(identities, pki, minutes, authorities):
    """The machine's certificates.json: see deploy/machine/certificate-plan.ts."""
    plan = {
        "directory": pki,
        "clusterCaBundle": "%s/cluster-ca.crt" % pki,
        "backboneCaBundle": "%s/backbone-ca.crt" % pki,
        "lifetimeMinutes": int(minutes),
        "identities": identities,
    }
    return dict(plan, authorities=authorities) if authorities else plan


class FilterModule:
    def filters(self):
        return {"kubeconfigs": kubeconfigs, "certificates_plan": certificates_plan}
