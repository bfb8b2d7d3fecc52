"""Runs one command on a machine, by its shell: one exchange, and no Python that is started there only to start it.

To `ansible.builtin.command` most of a visit is its own beginning, here and there; a run that changes nothing makes a hundred of them.
What it returns, and what it does in check mode, is as there.
"""

from __future__ import annotations

from ansible.plugins.action import ActionBase


def outcome(told):
    """What a task returns, of what the connection told: `rc`, `stdout`, `stderr`."""
    result = {
        "changed": True,
        "rc": told["rc"],
        "stdout": told["stdout"].rstrip("\r\n"),
        "stderr": told["stderr"].rstrip("\r\n"),
    }
    result["stdout_lines"] = result["stdout"].splitlines()
    if told["rc"] != 0:
        # Whoever reads one line of it is to know why.
        why = (result["stderr"] or result["stdout"]).strip()
        result.update(failed=True, msg=why or "it ended with %d and said nothing" % told["rc"])
    return result


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            return dict(result, changed=False, skipped=True, rc=0, stdout="", stderr="", msg="not run in check mode")
        # Without any input the connection would make a terminal, on which errors cannot be told from the answer.
        stdin = self._task.args.get("stdin", "") + "\n"
        told = self._low_level_execute_command(self._task.args["cmd"], in_data=stdin.encode())
        return dict(result, **outcome(told))
