#!/usr/bin/python
"""Makes a machine's files what they should be, all in one visit.

One `copy` per file costs a visit each, and a master has some thirty files: a run that changes nothing would spend a minute
on them. This module takes the whole list, writes what differs (beside its place first, then renamed, so that nobody reads
half a file), and says which paths changed, so that a handler can restart just what reads them.
"""

from __future__ import annotations

import grp
import os
import pwd
import tempfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: machine_files
short_description: Write a list of files, folders and links in one visit
description:
  - Writes what differs from the list, removes what is listed as absent, and returns the paths that changed.
options:
  files:
    description: Files, each with I(path) and I(content), and optionally I(mode), I(owner) and I(group).
    type: list
    elements: dict
    default: []
  folders:
    description: Folders, each with I(path), and optionally I(mode), I(owner) and I(group).
    type: list
    elements: dict
    default: []
  links:
    description:
      - Symbolic links, each with I(path) and I(target), and optionally I(once), a path without which the link is not made yet.
    type: list
    elements: dict
    default: []
  absent:
    description: Paths of files and links that must not be there.
    type: list
    elements: str
    default: []
author: Pilothouse
"""

RETURN = r"""
changed_paths:
  description: What was made, replaced, given another owner or mode, or removed.
  type: list
  elements: str
  returned: always
waiting_paths:
  description: Links whose time has not come.
  type: list
  elements: str
  returned: always
"""


class Files:
    def __init__(self, check_mode):
        self.check_mode = check_mode
        self.changed_paths = []
        self.waiting_paths = []
        self.diffs = []

    def note(self, path, before, after):
        if path not in self.changed_paths:
            self.changed_paths.append(path)
        self.diffs.append({"before_header": path, "after_header": path, "before": before, "after": after})

    def folder(self, path, mode="0755", owner="root", group=None):
        if not os.path.isdir(path):
            self.note(path, "", "a folder\n")
            if self.check_mode:
                return
            os.makedirs(path)
        self.own(path, mode, owner, group)

    def file(self, path, content, mode="0644", owner="root", group=None):
        wanted = content.encode()
        actual = read(path)
        if actual != wanted:
            self.note(path, (actual or b"").decode(errors="replace"), content)
            if self.check_mode:
                return
            replace(path, wanted)
        self.own(path, mode, owner, group)

    def link(self, path, target, once=None):
        if once and not os.path.exists(once):
            self.waiting_paths.append(path)
            return
        actual = os.readlink(path) if os.path.islink(path) else None
        if actual == target:
            return
        self.note(path, actual or "", target)
        if self.check_mode:
            return
        making = path + ".making"
        if os.path.lexists(making):
            os.unlink(making)
        os.symlink(target, making)
        os.replace(making, path)

    def remove(self, path):
        if not os.path.lexists(path):
            return
        self.note(path, "there\n", "")
        if not self.check_mode:
            os.unlink(path)

    def own(self, path, mode, owner, group):
        if not os.path.exists(path):
            return
        there = os.stat(path)
        uid = user_id(owner)
        gid = group_id(group) if group else primary_group(owner)
        # In check mode an account may still be missing: then its first run will make both.
        if uid is None or gid is None:
            if self.check_mode:
                return
            raise ValueError("there is no account %s or no group %s on this machine" % (owner, group or owner))
        permissions = int(str(mode), 8)
        if (there.st_uid, there.st_gid) != (uid, gid):
            self.note(path, "owner %d:%d\n" % (there.st_uid, there.st_gid), "owner %d:%d\n" % (uid, gid))
            if not self.check_mode:
                os.chown(path, uid, gid)
        if there.st_mode & 0o7777 != permissions:
            self.note(path, "mode %o\n" % (there.st_mode & 0o7777), "mode %o\n" % permissions)
            if not self.check_mode:
                os.chmod(path, permissions)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def replace(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, making = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".making-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(making, path)


def user_id(name):
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def primary_group(user):
    try:
        return pwd.getpwnam(user).pw_gid
    except KeyError:
        return None


def group_id(name):
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def main():
    lists = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "files": lists,
            "folders": lists,
            "links": lists,
            "absent": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    files = Files(module.check_mode)
    try:
        for folder in module.params["folders"]:
            files.folder(**folder)
        for file in module.params["files"]:
            files.file(**file)
        for link in module.params["links"]:
            files.link(**link)
        for path in module.params["absent"]:
            files.remove(path)
    except (OSError, TypeError, ValueError) as error:
        module.fail_json(msg=str(error), changed_paths=files.changed_paths)
    module.exit_json(
        changed=bool(files.changed_paths),
        changed_paths=files.changed_paths,
        waiting_paths=files.waiting_paths,
        diff=files.diffs,
    )


if __name__ == "__main__":
    main()
