"""CDK apps and templates: which stacks there are, and which code they deploy."""
