"""Gives every machine the variables of defaults.yml, below everything that an inventory says.

Ansible itself has no such place: group_vars/all beside a playbook outranks `all: vars:` of an inventory, so that what an
operator writes there would be passed over in silence; and a role's defaults are not seen in `hostvars`.
"""

from __future__ import annotations

import os

from ansible.inventory.group import Group
from ansible.plugins.vars import BaseVarsPlugin

DOCUMENTATION = r"""
---
name: a_pilothouse_defaults
short_description: Variables of defaults.yml, below everything that an inventory says
description:
  - Its name sorts before host_group_vars, whose files for the same group then win.
options: {}
author: Pilothouse
"""

DEFAULTS = os.path.join(os.path.dirname(os.path.dirname(__file__)), "defaults.yml")


class VarsModule(BaseVarsPlugin):
    def get_vars(self, loader, path, entities, cache=True):
        super().get_vars(loader, path, entities)
        # Also asked for the folder of the playbook, which would outrank an inventory's group_vars: answered for inventories only.
        if os.path.realpath(path) == os.path.dirname(DEFAULTS):
            return {}
        defaults = loader.load_from_file(DEFAULTS, cache=True)
        variables = {}
        for group in entities:
            if not isinstance(group, Group):
                continue
            if group.name == "all":
                variables.update(defaults)
            # What the inventory's own file says of a group came before this: it is said again, and so wins.
            variables.update({name: value for name, value in group.vars.items() if name in defaults})
        return variables
