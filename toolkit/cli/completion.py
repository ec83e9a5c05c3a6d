"""`toolkit completion`: the script that teaches a shell to complete toolkit's commands.

A script hands over the words and which of them is typed (`cli/suggestions.py` answers), and gets a
line for each suggestion: plain, file or dir, a tab, the word, and where it has one, a tab and what
it is. For files and folders the shell's own completion is used.
"""

import click

from toolkit.cli import output

SCRIPTS = {
    "bash": r"""_toolkit_completion() {
    local kind word about IFS=$'\n'
    COMPREPLY=()
    while IFS=$'\t' read -r kind word about; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$word") ;;
        esac
    done < <(_TOOLKIT_COMPLETE=bash _TOOLKIT_WORDS="${COMP_WORDS[*]}" \
        _TOOLKIT_CURRENT=$COMP_CWORD "$1" 2>/dev/null)
}
complete -o nosort -F _toolkit_completion toolkit""",
    "zsh": r"""#compdef toolkit
_toolkit_completion() {
    local kind word about
    local -a names
    while IFS=$'\t' read -r kind word about; do
        case $kind in
            dir) compset -P '--*='; _path_files -/ ;;
            file) compset -P '--*='; _path_files -f ;;
            plain) names+=("${word//:/\\:}${about:+:$about}") ;;
        esac
    done < <(_TOOLKIT_COMPLETE=zsh _TOOLKIT_WORDS="${(F)words}" \
        _TOOLKIT_CURRENT=$((CURRENT - 1)) ${words[1]} 2>/dev/null)
    (( $#names )) && _describe -V toolkit names
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _toolkit_completion "$@"
else
    compdef _toolkit_completion toolkit
fi""",
    "fish": r"""function _toolkit_completion
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (env _TOOLKIT_COMPLETE=fish _TOOLKIT_CURRENT=(count $words) \
        _TOOLKIT_WORDS=(string join -- \n $words $current | string collect) $words[1] 2>/dev/null)
    for line in $lines
        set -l parts (string split -- \t $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $current
            case file
                __fish_complete_path $current
            case plain
                string join -- \t $parts[2..]
        end
    end
end
complete --no-files --keep-order --command toolkit --arguments '(_toolkit_completion)'""",
}


@click.command(epilog='Example: eval "$(toolkit completion bash)"')
@click.argument("shell", type=click.Choice(tuple(SCRIPTS)))
def completion(shell: str) -> int:
    """Print the shell completion script."""
    output.say(SCRIPTS[shell])
    return 0
