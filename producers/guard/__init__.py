"""What stands between an agent and its tools: budgets, policy, writes, approvals, the kill switch; all from memory."""
