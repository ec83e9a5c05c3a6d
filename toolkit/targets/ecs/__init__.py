"""What it takes to deploy an app on ECS: `survey` looks, `release` acts, `watch` tells how it went;
the rest only decides.
"""
